"""What an empty table says: to a newcomer how to get to a first job, to everyone why nothing is there."""

from __future__ import annotations

from jobtui.tui.commands import BY_ID
from jobtui.tui.context import Context
from jobtui.tui.keymap import Keymap
from jobtui.tui.lines import Ink, Line

# from this width on each step is told with what it does
_ROOMY = 90


def first_steps(context: Context, archived: bool, width: int) -> tuple[Line, ...]:
    """For a history without jobs, or an empty archive; in few words where `width` asks for it."""
    keys = context.keymap
    if archived:
        return (
            (("  Nothing is archived.", Ink.MUTED),),
            (),
            (
                ("  In the jobs, ", Ink.MUTED),
                (keys.shown(BY_ID["archive"]), Ink.KEY),
                (" archives.", Ink.MUTED),
            ),
        )
    if not context.desk.writable:
        return ((("  No jobs yet. This profile is open for reading only.", Ink.MUTED),),)
    bar, compact = keys.shown(BY_ID["bar"]), keys.shown(BY_ID["help"])
    overview, linked = context.places.overview, context.desk.link is not None
    if linked and overview is None and not context.places.trouble:
        return ((("  Asking the cluster; a moment …", Ink.MUTED),),)
    spaces = (
        [look.space.name for look in overview.spaces] if overview is not None else list(context.desk.spaces())
    )
    hint: tuple[Line, ...] = (
        ((("  " + context.settings.hint, Ink.ACCENT),), ()) if context.settings.hint else ()
    )
    steps: list[tuple[str, str, str]] = []
    if not spaces and context.settings.demo:
        return ((("  The demo's spaces are being filled; a moment …", Ink.MUTED),),)
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
    roomy = width >= _ROOMY
    # the cluster's own come when it has told them
    none = "No jobs are known here yet." if linked else "No jobs yet."
    return (
        ((f"  {none} A first one in a minute:", Ink.STRONG),),
        (),
        *hint,
        (
            ("  ", Ink.PLAIN),
            (f"{bar:<3}", Ink.KEY),
            ("goes to the command bar below. Type there, with enter:", Ink.PLAIN),
        ),
        (),
        *(
            (("     ", Ink.PLAIN), (f"{text:<{wide}}", Ink.ACCENT), (what + more * roomy, Ink.MUTED))
            for text, what, more in steps
        ),
        (),
        (
            ("  ", Ink.PLAIN),
            ("esc", Ink.KEY),
            (" comes back here.  ", Ink.PLAIN),
            (compact, Ink.KEY),
            (" shows the keys.", Ink.PLAIN),
        ),
    )


def nothing_found(text: str, keys: Keymap) -> tuple[Line, ...]:
    """For a filter that lets nothing through."""
    return (
        (("  No job passes the filter ", Ink.MUTED), (text, Ink.ACCENT)),
        (),
        (
            ("  esc", Ink.KEY),
            (" takes it away, ", Ink.MUTED),
            (keys.shown(BY_ID["filter"]), Ink.KEY),
            (" changes it.", Ink.MUTED),
        ),
    )
