"""Making, showing and deleting integrations. They are not changed: an export is given another one instead."""

from app.errors import NotFound, ValidationFailed
from app.http.body import Draft
from app.integrations.credentials import check, split
from app.integrations.repository import IntegrationRepository
from app.integrations.schemas import IntegrationRead, IntegrationWrite
from app.integrations.uses import COPY_KIND, in_use, named_in
from app.models import Export, Integration
from app.tenants.access import Access
from app.unit import Unit


class IntegrationService:
    def __init__(self, unit: Unit, access: Access) -> None:
        self._session = unit.session
        self._runtime = unit.runtime
        self._access = access
        self._integrations = IntegrationRepository(unit.session)

    async def create(self, body: Draft[IntegrationWrite]) -> IntegrationRead:
        """:raises ValidationFailed: for an unknown kind, or keys that the kind does not have, wants or takes so."""
        fields = body.check()
        credentials = check(fields.kind, fields.config, fields.sensitive_config)
        config, secrets = split(credentials)
        config |= credentials.issued(self._access.organization_id, self._access.project_id)
        now = self._runtime.clock()
        integration = Integration(
            project_id=self._access.project_id,
            kind=fields.kind,
            config=config,
            sensitive_config=self._runtime.cipher.seal(secrets),
            created_by=self._access.key_id,
            created_at=now,
            last_updated_at=now,
        )
        self._session.add(integration)
        await self._session.flush()
        return IntegrationRead.of(integration)

    async def page(self, limit: int, offset: int) -> tuple[list[IntegrationRead], int]:
        integrations, count = await self._integrations.page(self._access.project_ids, limit, offset)
        return [IntegrationRead.of(integration) for integration in integrations], count

    async def get(self, integration_id: int) -> IntegrationRead:
        """:raises NotFound: for one of another project."""
        integration = await self._integrations.get(self._access.project_ids, integration_id)
        if integration is None:
            raise NotFound
        return IntegrationRead.of(integration)

    async def delete(self, integration_id: int) -> None:
        """:raises ValidationFailed: while exports use it; it says which."""
        integration = await self._integrations.for_delete(self._access.project_ids, integration_id)
        if integration is None:
            raise NotFound
        if exports := await self._exports_using(integration):
            raise ValidationFailed(in_use([(export.id, export.name) for export in exports]))
        await self._integrations.delete(integration)

    async def _exports_using(self, integration: Integration) -> list[Export]:
        exports = {export.id: export for export in await self._integrations.users(integration)}
        if integration.kind == COPY_KIND:
            for export in await self._integrations.perhaps_users(integration):
                if integration.id in named_in(self._runtime.cipher.open(export.destination_config)):
                    exports.setdefault(export.id, export)
        return list(exports.values())
