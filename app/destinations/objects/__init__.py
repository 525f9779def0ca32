"""Files into object stores: what all of them have in common. A store is one :class:`~.store.ObjectStore`."""
