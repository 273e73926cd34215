/**
 * Completion scripts. Each hands the words to `cedana __complete` as they are, never through the shell's eval: what
 * somebody has typed so far must not be run. Where nothing is offered, the shell completes file names.
 */
import type { Shell } from "../verbs/completion.ts";
import type { Candidate } from "./complete.ts";

const scripts: Record<Shell, string> = {
  bash: `_cedana() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <("\${COMP_WORDS[0]}" __complete bash "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o bashdefault -o default -F _cedana cedana
`,
  zsh: `#compdef cedana
_cedana() {
    local -a candidates
    candidates=("\${(@f)$("\${words[1]}" __complete zsh "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -z "\${candidates[1]}" ]]; then
        _files
    else
        _describe 'cedana' candidates
    fi
}
compdef _cedana cedana
`,
  fish: `function __cedana_complete
    set -l words (commandline -opc)
    set -l candidates ($words[1] __complete fish $words[2..-1] (commandline -ct) 2>/dev/null)
    if test (count $candidates) -gt 0
        printf '%s\\n' $candidates
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c cedana -f -a '(__cedana_complete)'
`,
};

export function completionScript(shell: Shell): string {
  return scripts[shell];
}

/** One candidate a line, in the form the shell's script expects. */
export function renderCandidates(shell: Shell, candidates: readonly Candidate[]): string {
  return candidates.map((candidate) => `${renderCandidate(shell, candidate)}\n`).join("");
}

function renderCandidate(shell: Shell, { value, description }: Candidate): string {
  if (shell === "bash") return value;
  if (shell === "fish") return `${value}\t${description}`;
  return `${value.replaceAll(":", "\\:")}:${description}`;
}
