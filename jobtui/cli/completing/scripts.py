"""What a shell needs to ask jobtui at each tab."""

from __future__ import annotations

_BASH = r"""
_jobtui() {
    local line answer fallback listing=
    line=${COMP_LINE:0:COMP_POINT}
    [[ $COMP_TYPE == 63 ]] && listing=list
    mapfile -t answer < <("$1" __complete bash "$line" $listing 2>/dev/null)
    fallback=${answer[0]}
    COMPREPLY=("${answer[@]:1}")
    compopt -o nospace -o nosort 2>/dev/null
    if ((${#COMPREPLY[@]} == 0)); then
        case $fallback in
        files) compopt -o default +o nospace ;;
        directories) compopt -o dirnames +o nospace ;;
        esac
    fi
}
complete -F _jobtui jobtui
"""

_ZSH = r"""
#compdef jobtui
_jobtui() {
    local -a answer words_ shown
    local fallback one
    answer=("${(@f)$("$words[1]" __complete zsh "${(j: :)words[1,CURRENT-1]} $words[CURRENT]" 2>/dev/null)}")
    fallback=$answer[1]
    for one in "${(@)answer[2,-1]}"; do
        words_+=("${one%%$'\t'*}")
        shown+=("${one#*$'\t'}")
    done
    if ((${#words_})); then
        [[ -n $QIPREFIX ]] && words_=("${(@)words_#$QIPREFIX}")
        compadd -U -Q -V jobtui -S '' -d shown -l -- "${(@)words_}"
    elif [[ $fallback == files ]]; then
        _files
    elif [[ $fallback == directories ]]; then
        _files -/
    fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _jobtui "$@"
else
    compdef _jobtui jobtui
fi
"""

_FISH = r"""
function __jobtui_complete
    set -l command (commandline -po)[1]
    set -l answer ($command __complete fish (commandline -cp) 2>/dev/null)
    if set -q answer[2]
        printf '%s\n' $answer[2..-1]
    else if test "$answer[1]" = files
        __fish_complete_path (commandline -ct)
    else if test "$answer[1]" = directories
        __fish_complete_directories (commandline -ct) ''
    end
end
complete -c jobtui -f -k -a '(__jobtui_complete)'
"""

SCRIPTS = {"bash": _BASH.lstrip(), "zsh": _ZSH.lstrip(), "fish": _FISH.lstrip()}
