"""The security checklist, case by case: docs/security.md names every test."""
