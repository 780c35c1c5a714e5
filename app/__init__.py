"""The process: settings, command line, HTTP servers, console page and the supervisor of the roles.

Read `app.cli` for the way in, `app.roles` for what one role's process does, `app.up` for how they run together.
"""
