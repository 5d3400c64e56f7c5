"""The texts in an empty table of jobs: how to get a first job, or why no job is shown."""

from __future__ import annotations

from jobtui.tui.commands import BY_ID
from jobtui.tui.context import Context
from jobtui.tui.keymap import Keymap
from jobtui.tui.text.spans import Line, TextRole

# from this width on, each step has an explanation
_EXPLAINED_FROM = 90


def first_steps(context: Context, archived: bool, width: int) -> tuple[Line, ...]:
    """Return the text for a history without jobs, or an empty archive; without explanations if it is narrow."""
    keys = context.keymap
    if archived:
        return (
            (("  Nothing is archived.", TextRole.MUTED),),
            (),
            (
                ("  In the jobs, ", TextRole.MUTED),
                (keys.shown(BY_ID["archive"]), TextRole.KEY),
                (" archives.", TextRole.MUTED),
            ),
        )
    if not context.desk.writable:
        return ((("  No jobs yet. This profile is open for reading only.", TextRole.MUTED),),)
    bar, compact = keys.shown(BY_ID["bar"]), keys.shown(BY_ID["help"])
    overview, linked = context.places.overview, context.desk.connection is not None
    if linked and overview is None and not context.places.trouble:
        return ((("  Asking the cluster; a moment …", TextRole.MUTED),),)
    spaces = (
        [look.space.name for look in overview.spaces]
        if overview is not None
        else list(context.desk.space_names())
    )
    hint: tuple[Line, ...] = (
        ((("  " + context.settings.hint, TextRole.ACCENT),), ()) if context.settings.hint else ()
    )
    steps: list[tuple[str, str, str]] = []
    if not spaces and context.settings.demo:
        return ((("  The demo's spaces are being filled; a moment …", TextRole.MUTED),),)
    if not spaces and linked:
        steps.append(("SHOW SPACES", "the cluster's", ", once it is connected"))
        space = "nba"
    elif not spaces:
        steps.append(("CREATE SPACE demo", "makes a space", " on every host"))
        steps.append(('CREATE SPACE mine AT "/my/rocksdb"', "or adopts a database", " of RocksDB"))
        space = "demo"
    else:
        space = spaces[0]
    if context.space is None:
        steps.append((f"USE {space}", "chooses the space", ""))
    steps.append(("ADMIN FLUSH", "a first job", ": its memtables go to disk"))
    steps.append(("ADMIN COMPACT", "a second one", ": its files are merged"))
    wide = max(len(text) for text, _, _ in steps) + 3
    is_explained = width >= _EXPLAINED_FROM
    # jobs of the cluster are added when it has listed them
    none = "No jobs are known here yet." if linked else "No jobs yet."
    return (
        ((f"  {none} A first one in a minute:", TextRole.STRONG),),
        (),
        *hint,
        (
            ("  ", TextRole.PLAIN),
            (f"{bar:<3}", TextRole.KEY),
            ("goes to the command bar below. Type there, with enter:", TextRole.PLAIN),
        ),
        (),
        *(
            (
                ("     ", TextRole.PLAIN),
                (f"{text:<{wide}}", TextRole.ACCENT),
                (what + more * is_explained, TextRole.MUTED),
            )
            for text, what, more in steps
        ),
        (),
        (
            ("  ", TextRole.PLAIN),
            ("esc", TextRole.KEY),
            (" comes back here.  ", TextRole.PLAIN),
            (compact, TextRole.KEY),
            (" shows the keys.", TextRole.PLAIN),
        ),
    )


def nothing_found(text: str, keys: Keymap) -> tuple[Line, ...]:
    """Return the text for a filter that no job passes."""
    return (
        (("  No job passes the filter ", TextRole.MUTED), (text, TextRole.ACCENT)),
        (),
        (
            ("  esc", TextRole.KEY),
            (" takes it away, ", TextRole.MUTED),
            (keys.shown(BY_ID["filter"]), TextRole.KEY),
            (" changes it.", TextRole.MUTED),
        ),
    )
