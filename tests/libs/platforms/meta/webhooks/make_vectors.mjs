// Writes vectors.json with Node's crypto: node make_vectors.mjs > vectors.json
// Bodies are base64, as what is signed is bytes: escaped letters, raw letters, escaped slashes, and no text at all.
import { createHmac } from "node:crypto";

const bodies = [
  '{"object":"page","entry":[]}',
  '{"object":"page","entry":[{"id":"1","time":1,"changes":[{"field":"feed","value":{"message":"\\u00e4\\u00f6\\u00e5"}}]}]}',
  '{"object":"page","entry":[{"id":"1","time":1,"changes":[{"field":"feed","value":{"message":"äöå"}}]}]}',
  '{"object":"page","entry":[{"id":"1","time":1,"changes":[{"field":"feed","value":{"link":"https:\\/\\/example.com\\/"}}]}]}',
  "",
].map((text) => Buffer.from(text, "utf8"));
bodies.push(Buffer.from([0x00, 0xff, 0x0a, 0x0d, 0x80]));

const secrets = ["app_secret_example", "ein-Schlüssel", "x".repeat(100)];
const vectors = secrets.flatMap((secret) =>
  bodies.map((body) => ({
    secret,
    body: body.toString("base64"),
    header: "sha256=" + createHmac("sha256", secret).update(body).digest("hex"),
  })),
);
process.stdout.write(JSON.stringify(vectors, null, 2) + "\n");
