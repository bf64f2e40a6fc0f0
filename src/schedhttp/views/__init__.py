"""The endpoints: plain functions of the service, the request and the path's values.

Errors pass through: problems.py turns them into responses.
"""
