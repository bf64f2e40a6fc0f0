"""The dashboard: HTML pages, on the same endpoints, roles and rules as the API."""
