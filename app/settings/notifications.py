"""Who is told of what goes wrong, and how."""

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from app.settings.kinds import Group, Seconds, SmtpUrl


class NotificationSettings(Group):
    auto_pause_after: int = Field(
        10,
        ge=0,
        description="Failed runs among the latest ones of an export (24 hourly, 7 daily, 4 weekly, an hour of minutes) "
        "after which it is paused; never more than there are of these. 0 never pauses.",
    )
    overdue_after: Seconds | None = Field(
        None,
        description="How long past its settling and its random delay an interval's run may take to end before people "
        "are told. By default one interval, and 15 minutes at least.",
    )
    smtp_url: SmtpUrl | None = Field(
        None,
        description="The mail server: smtp://user:password@host:587 or smtps://user:password@host:465. Without one no "
        "e-mail is sent.",
    )
    smtp_from: str | None = Field(
        None,
        pattern=r"^[^\r\n\x00]*$",
        description="Sender of e-mails: `exports@example.com` or `Exports <exports@example.com>`.",
    )
    smtp_starttls: bool = Field(
        True,
        description="Whether smtp:// insists on encryption. Switch it off only for a server in your own network.",
    )
    notification_poll_interval: Seconds = Field(
        timedelta(seconds=2), description="How often a worker looks for notifications that are to be sent."
    )
    notification_give_up_after: Seconds = Field(
        timedelta(days=1), description="How long sending a notification is tried again."
    )

    @model_validator(mode="after")
    def _mail_has_a_sender(self) -> Self:
        if self.smtp_url is not None and self.smtp_from is None:
            raise ValueError("SMTP_FROM must be set where SMTP_URL is")
        return self
