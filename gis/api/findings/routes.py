"""The routes of work on findings."""

from __future__ import annotations

from starlette.routing import Route

from gis.api.findings.accepting import accept_findings, reopen_findings
from gis.api.findings.rules import all_rules, one_rule
from gis.api.findings.summary import summary

ROUTES = [
    Route("/findings/summary", summary, methods=["GET"]),
    Route("/findings/accept", accept_findings, methods=["POST"]),
    Route("/findings/reopen", reopen_findings, methods=["POST"]),
    Route("/rules", all_rules, methods=["GET"]),
    Route("/rules/{rule}", one_rule, methods=["GET"]),
]
