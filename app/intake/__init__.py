"""Events over HTTP, as the SDKs of PostHog send them: what a request may look like, how its events are stored together
with those of others, and what they make known of persons."""
