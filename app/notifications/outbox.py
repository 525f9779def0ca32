"""Writing notifications down, in the transaction of what they tell about."""

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from app.db.repository import Repository
from app.models import Notification, NotificationChannels, NotificationDelivery
from app.notifications.channels import Channel
from app.notifications.notices import Notice


class Outbox(Repository):
    async def add(self, notices: Sequence[Notice], now: datetime) -> list[Notice]:
        """Have people told; those of the notices that had not been told before.

        Several notices at once are given in one order by everybody, or two transactions may wait for each other.
        """
        if not notices:
            return []
        rows = [
            {
                "id": uuid4(),
                "project_id": notice.project_id,
                "export_id": notice.export_id,
                "kind": notice.kind.value,
                "dedupe_key": notice.dedupe_key,
                "data": dict(notice.data),
                "created_at": now,
            }
            for notice in notices
        ]
        statement = insert(Notification).values(rows).on_conflict_do_nothing(index_elements=["dedupe_key"])
        made = (await self.session.execute(statement.returning(Notification.id, Notification.dedupe_key))).all()
        ids = {key: notification_id for notification_id, key in made}
        told = [notice for notice in notices if notice.dedupe_key in ids]
        channels = await self._channels({notice.project_id for notice in told})
        for notice in told:
            if (wanted := channels.get(notice.project_id)) is not None:
                self._address(notice, ids[notice.dedupe_key], wanted)
        await self.session.flush()
        return told

    async def prune(self, before: datetime, limit: int) -> None:
        """Delete at most ``limit`` of the oldest notifications, with their deliveries."""
        oldest = select(Notification.id).where(Notification.created_at < before).order_by(Notification.created_at)
        which = Notification.id.in_(oldest.limit(limit).with_for_update(skip_locked=True).scalar_subquery())
        await self.session.execute(delete(Notification).where(which).execution_options(synchronize_session=False))

    async def _channels(self, project_ids: set[int]) -> dict[int, NotificationChannels]:
        query = select(NotificationChannels).where(NotificationChannels.project_id.in_(project_ids))
        return {channels.project_id: channels for channels in await self.session.scalars(query)}

    def _address(self, notice: Notice, notification_id: object, channels: NotificationChannels) -> None:
        recipients: list[tuple[Channel, str | None]] = [(Channel.EMAIL, email) for email in channels.emails]
        if channels.webhook_url is not None:
            recipients.append((Channel.WEBHOOK, None))
        self.session.add_all(
            NotificationDelivery(
                notification_id=notification_id, project_id=notice.project_id, channel=channel, recipient=recipient
            )
            for channel, recipient in recipients
        )
