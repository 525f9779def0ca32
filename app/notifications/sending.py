"""One attempt at one delivery, by whichever channel it goes."""

from app.network import Network
from app.notifications import mail, webhook
from app.notifications.channels import Channel, DeliveryFailed
from app.notifications.claims import Parcel
from app.notifications.signing import signed_headers
from app.runtime import Runtime


class Sender:
    def __init__(self, runtime: Runtime) -> None:
        self._settings = runtime.settings
        self._cipher = runtime.cipher
        self._clock = runtime.clock
        self._network = Network.of(runtime.settings)

    async def send(self, parcel: Parcel) -> None:
        """:raises DeliveryFailed: unless the other side has it."""
        if parcel.channel == Channel.EMAIL:
            await self._mail(parcel)
        else:
            await self._post(parcel)

    async def _mail(self, parcel: Parcel) -> None:
        assert parcel.recipient is not None
        subject, text = parcel.message.subject, parcel.message.text
        await mail.send(self._settings, parcel.recipient, subject, text, parcel.delivery_id, self._clock())

    async def _post(self, parcel: Parcel) -> None:
        if parcel.webhook_url is None or parcel.webhook_secret is None:
            raise DeliveryFailed("The project has no webhook any more.", final=True)
        secret = self._cipher.open(parcel.webhook_secret)["secret"]
        body = parcel.message.body
        headers = signed_headers(secret, parcel.message.webhook_id, self._clock(), body)
        await webhook.post(parcel.webhook_url, body, headers, self._network)
