"""Where a project's notifications go, whether that works, and what became of them."""

import asyncio
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import uuid4

from app.db.pages import Place
from app.errors import ValidationFailed
from app.http.body import Draft
from app.models import DeliveryStatus, Notification, NotificationChannels, NotificationDelivery
from app.network import AddressRefused, Network
from app.notifications.channels import Channel, DeliveryFailed
from app.notifications.claims import Parcel
from app.notifications.messages import Message
from app.notifications.repository import ChannelRepository, DeliveryRepository
from app.notifications.schemas import AttemptRead, ChannelsRead, ChannelsWrite, DeliveryRead
from app.notifications.sending import Sender
from app.notifications.signing import new_secret
from app.unit import Unit

TEST = "test"
HINT = 4
"""Characters of a secret that tell it apart from others."""


class NotificationService:
    """Of one project, which the caller may touch."""

    def __init__(self, unit: Unit, project_id: int) -> None:
        self._session = unit.session
        self._runtime = unit.runtime
        self._project_id = project_id
        self._channels = ChannelRepository(unit.session)

    async def channels(self) -> ChannelsRead:
        return self._read(await self._channels.get(self._project_id))

    async def replace(self, body: Draft[ChannelsWrite]) -> ChannelsRead:
        """:raises ValidationFailed: for a channel that cannot be one, or a webhook that may not be connected to."""
        fields = body.check()
        if fields.webhook_url is not None:
            await self._check_host(fields.webhook_url)
        elif fields.webhook_secret is not None:
            raise ValidationFailed("A secret needs a webhook.", attr="webhook_secret")
        channels = await self._lock()
        stored = self._secret(channels)
        secret, shown = fields.webhook_secret or stored, None
        if fields.webhook_url is None:
            secret = None
        elif secret is None:
            secret = shown = new_secret()
        channels.webhook_url = fields.webhook_url
        channels.webhook_secret = self._seal(secret)
        channels.emails = fields.emails
        channels.last_updated_at = self._runtime.clock()
        return self._read(channels, shown)

    async def rotate_secret(self) -> str:
        """What has not been delivered yet is signed with the new one too, until the receiver knows it.

        :raises ValidationFailed: without a webhook.
        """
        channels = await self._lock()
        if channels.webhook_url is None:
            raise ValidationFailed("There is no webhook, so there is no secret.")
        secret = new_secret()
        channels.webhook_secret = self._seal(secret)
        channels.last_updated_at = self._runtime.clock()
        return secret

    async def test(self) -> list[AttemptRead]:
        """Send a message by every channel, right now, and tell how that went. Nothing is stored, nor tried again."""
        channels = await self._channels.get(self._project_id)
        # Others may take their time, and must not hold a connection of ours meanwhile.
        await self._session.commit()
        if channels is None:
            return []
        data = {"project_id": self._project_id}
        message = Message(uuid4(), TEST, data, self._runtime.clock())
        ways: list[tuple[Channel, str | None]] = [(Channel.EMAIL, email) for email in channels.emails]
        if channels.webhook_url is not None:
            ways.insert(0, (Channel.WEBHOOK, None))
        sender = Sender(self._runtime)
        return await asyncio.gather(*(_try(sender, _parcel(channels, *way, message)) for way in ways))

    async def deliveries(self, place: Place | None) -> tuple[list[DeliveryRead], bool]:
        """A page, newest first."""
        rows, more = await DeliveryRepository(self._session).page(self._project_id, place)
        return [_read_delivery(delivery, notification) for delivery, notification in rows], more

    async def _check_host(self, url: str) -> None:
        try:
            await Network.of(self._runtime.settings).vet(urlsplit(url).hostname or "")
        except AddressRefused:
            detail = "The webhook's host is not on the public internet, nor among the hosts that this service allows."
            raise ValidationFailed(detail, attr="webhook_url") from None
        except OSError:
            raise ValidationFailed("The webhook's host cannot be found.", attr="webhook_url") from None

    async def _lock(self) -> NotificationChannels:
        return await self._channels.lock(self._project_id, self._seal(None), self._runtime.clock())

    def _seal(self, secret: str | None) -> bytes:
        return self._runtime.cipher.seal({"secret": secret})

    def _secret(self, channels: NotificationChannels) -> str | None:
        secret: str | None = self._runtime.cipher.open(channels.webhook_secret)["secret"]
        return secret

    def _read(self, channels: NotificationChannels | None, shown: str | None = None) -> ChannelsRead:
        secret = self._secret(channels) if channels is not None else None
        return ChannelsRead(
            webhook_url=channels.webhook_url if channels is not None else None,
            webhook_secret_hint=f"…{secret[-HINT:]}" if secret is not None else None,
            webhook_secret=shown,
            emails=channels.emails if channels is not None else [],
            email_available=self._runtime.settings.smtp_url is not None,
        )


def _parcel(channels: NotificationChannels, channel: Channel, recipient: str | None, message: Message) -> Parcel:
    return Parcel(
        delivery_id=uuid4(),
        attempt=1,
        age=timedelta(0),
        channel=channel,
        recipient=recipient,
        webhook_url=channels.webhook_url,
        webhook_secret=channels.webhook_secret,
        message=message,
    )


async def _try(sender: Sender, parcel: Parcel) -> AttemptRead:
    reason = None
    try:
        await sender.send(parcel)
    except DeliveryFailed as failure:
        reason = failure.reason
    return AttemptRead(
        channel=Channel(parcel.channel), recipient=parcel.recipient, delivered=reason is None, message=reason
    )


def _read_delivery(delivery: NotificationDelivery, notification: Notification) -> DeliveryRead:
    return DeliveryRead.model_validate(
        {
            "kind": notification.kind,
            "export_id": notification.export_id,
            "next_attempt_at": delivery.not_before if delivery.status == DeliveryStatus.WAITING else None,
        }
        | {
            name: getattr(delivery, name)
            for name in DeliveryRead.model_fields.keys() - {"kind", "export_id", "next_attempt_at"}
        }
    )
