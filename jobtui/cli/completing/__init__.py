"""Shell completion: `jobtui completion SHELL` prints a script, and the script asks jobtui at each tab.

    scripts.py    what is printed for bash, zsh and fish
    line.py       the typed part of a command line as words, and how to write into its last
    offers.py     what may stand there: verbs, options, values, and statements after -e
    answering.py  the hidden verb that the scripts call, and the answer that each shell wants

Nothing here starts an engine or asks another process: a tab must not be waited for.
"""
