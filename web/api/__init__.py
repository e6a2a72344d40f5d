"""The API for programs: JSON below ``/api/v1``, with the same functions as the commands and the pages."""
