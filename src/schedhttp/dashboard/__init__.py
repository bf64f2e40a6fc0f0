"""The dashboard: pages for people, over the same endpoints, roles and rules as the API."""
