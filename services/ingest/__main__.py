from libs.runtime.service import main
from services import ingest
from services.ingest.app import build

main(ingest, build)
