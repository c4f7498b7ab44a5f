from libs.runtime.service import main
from tests.support import tiny_service
from tests.support.tiny_service.app import build

main(tiny_service, build)
