from libs.runtime.service import main
from services import batcher
from services.batcher.app import build

main(batcher, build)
