# bash completion for tunneld, proxyentry and tunnelc. What there is to offer is asked of the program itself (--help), so
# it is always what that version takes: there an option's argument says what may follow it.
# shellcheck shell=bash

# Lines "--option ARGUMENT" of a program's help.
_tunnel2_options() {
  "$1" --help 2>/dev/null | sed -n 's/^  \(--[a-z0-9-][a-z0-9-]*\)/\1/p' | sed 's/   *.*//'
}

# The words that its usage begins with: "http TARGET | files DIR  [OPTION]..." has http and files.
_tunnel2_subcommands() {
  "$1" --help 2>/dev/null | sed -n '1{s/^Usage: [^ ]* *//;s/\[OPTION\].*//;s/|/\n/g;p;}' | sed 's/^ *//;s/ .*//'
}

# Sets COMPREPLY to what an argument of that name in the help can be, beginning with the current word.
_tunnel2_argument() {
  local argument=$1 current=$2
  case $argument in
  *FILE* | CERT*)
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    ;;
  DIR)
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -d -- "$current")
    ;;
  *[A-Z]*) ;;
  *'|'*) mapfile -t COMPREPLY < <(compgen -W "${argument//|/ }" -- "$current") ;;
  esac
}

_tunnel2() {
  local program=${1/#\~\//$HOME/} current=${COMP_WORDS[COMP_CWORD]} last=$((COMP_CWORD - 1))
  local -A arguments=()
  local line option='' subcommand='' subcommands i
  COMPREPLY=()
  while read -r option line; do
    arguments[$option]=$line
  done < <(_tunnel2_options "$program")
  subcommands=$(_tunnel2_subcommands "$program")

  # "--option=value" comes as three words.
  if [[ $current == '=' ]]; then
    current=''
  elif [[ ${COMP_WORDS[last]} == '=' ]]; then
    ((last--))
  fi
  option=''
  for ((i = 1; i <= last; i++)); do
    if [[ ${COMP_WORDS[i]} == '=' ]]; then
      continue
    elif [[ $option ]]; then
      option=''
    elif [[ ${COMP_WORDS[i]} == --* ]]; then
      [[ ${arguments[${COMP_WORDS[i]}]:-} ]] && option=${COMP_WORDS[i]}
    elif [[ ! $subcommand ]]; then
      subcommand=${COMP_WORDS[i]}
    fi
  done

  if [[ $option ]]; then
    _tunnel2_argument "${arguments[$option]}" "$current"
  elif [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "${!arguments[*]}" -- "$current")
  elif [[ $subcommands && ! $subcommand ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$subcommands" -- "$current")
  elif [[ $subcommand == files ]]; then
    _tunnel2_argument DIR "$current"
  else
    mapfile -t COMPREPLY < <(compgen -W "${!arguments[*]}" -- "$current")
  fi
}

complete -F _tunnel2 tunneld proxyentry tunnelc
