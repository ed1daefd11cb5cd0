"""The one error a command shows as a message instead of a traceback."""


class UserError(ValueError):
    """Something the user can put right: a recipe, a file, a model, a disk. The message names the fix."""
