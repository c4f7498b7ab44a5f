from libs.runtime.service import main
from services import asset_sync
from services.asset_sync.app import build

main(asset_sync, build)
