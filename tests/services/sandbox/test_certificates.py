"""The throw-away authority, judged by a client's own library."""

import shutil
import ssl
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from services.sandbox.certificates import Authority

HOST = "graph.facebook.com"


def handshake(authority: Authority, host: str, *, asked: str | None = None) -> bytes:
    """The leaf that a strict client has accepted; all in memory."""
    trusted = ssl.create_default_context(cadata=authority.pem.decode())
    trusted.verify_flags |= ssl.VERIFY_X509_STRICT
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusted.wrap_bio(down, up, server_hostname=asked or host)
    server = authority.context(host).wrap_bio(up, down, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    leaf = client.getpeercert(binary_form=True)
    assert leaf is not None
    return leaf


def test_a_strict_client_believes_a_leaf_under_its_own_name_only() -> None:
    with Authority() as authority:
        handshake(authority, HOST)
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(authority, HOST, asked="graph.instagram.com")


def test_another_start_has_another_authority() -> None:
    with Authority() as first, Authority() as second:
        assert first.pem != second.pem
        leaf = x509.load_der_x509_certificate(handshake(first, HOST))
        with pytest.raises(ValueError, match="issuer"):
            leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(second.pem))


def test_the_authority_may_sign_and_nothing_else() -> None:
    with Authority() as authority:
        root = x509.load_pem_x509_certificate(authority.pem)
        assert authority.file.read_bytes() == authority.pem
        assert stat.S_IMODE(authority.file.parent.stat().st_mode) == 0o700
        folder = authority.file.parent
    basic = root.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca) == (True, True)
    usage = root.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)
    assert root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert not folder.exists()


def test_a_leaf_is_for_servers_fresh_and_of_its_own_serial() -> None:
    with Authority() as authority:
        hosts = (HOST, "graph.threads.net")
        leaves = [x509.load_der_x509_certificate(handshake(authority, host)) for host in hosts]
        root = x509.load_pem_x509_certificate(authority.pem)
        assert len(list(authority.file.parent.iterdir())) == 1, "a key was left behind"
    assert len({leaf.serial_number for leaf in leaves}) == 2
    for host, leaf in zip(hosts, leaves, strict=True):
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [host]
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]
        issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        assert issuer == root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        assert timedelta(hours=23) < datetime.now(UTC) - leaf.not_valid_before_utc < timedelta(hours=25)
        assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(days=398)
        key = leaf.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert isinstance(key.curve, ec.SECP256R1)


def test_a_folder_that_somebody_cleans_away_is_laid_down_again() -> None:
    with Authority() as authority:
        folder = authority.file.parent
        shutil.rmtree(folder)
        handshake(authority, HOST)
        assert authority.file.read_bytes() == authority.pem
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [file.name for file in folder.iterdir()] == ["ca.pem"]
    assert not folder.exists()
