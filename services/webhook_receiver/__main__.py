from libs.runtime.service import main
from services import webhook_receiver
from services.webhook_receiver.app import build

main(webhook_receiver, build)
