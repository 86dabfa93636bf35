import { defineCommand } from '../command.js';
import { COMPLETIONS_FLAG } from '../completion.js';
import { ExitCode } from '../errors.js';
import { programWords } from '../program-path.js';

export const completionCommand = defineCommand({
  name: 'completion',
  operands: '[shell]',
  description: 'Print the script that completes commands, options, values and names',
  positionals: {
    shell: { choices: ['bash', 'zsh'] as const, describe: 'Else that of the environment variable SHELL' },
  },
  options: {},
  examples: [
    ['completion bash >> ~/.bashrc', 'From the next shell on'],
    ['completion zsh >> ~/.zshrc', 'The same for zsh'],
  ],
  async run({ shell, output }, terminal) {
    const chosen = shell ?? (/zsh$/.test(process.env.SHELL ?? '') ? 'zsh' : 'bash');
    const script = SCRIPTS[chosen](`${programWords()} ${COMPLETIONS_FLAG}`);
    if (output === 'json') terminal.json({ shell: chosen, script });
    else terminal.line(script);
    return ExitCode.done;
  },
});

/** Where nothing is printed the shell completes files. */
const SCRIPTS = {
  bash: (ask: string) => `# culvert: completion for bash
_culvert_completions() {
  local cur="\${COMP_WORDS[COMP_CWORD]}"
  [ "$cur" = "=" ] && cur=""
  mapfile -t COMPREPLY < <(compgen -W "$(${ask} "\${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)" -- "$cur")
}
complete -o bashdefault -o default -F _culvert_completions culvert`,
  zsh: (ask: string) => `# culvert: completion for zsh
_culvert_completions() {
  local -a reply
  reply=("\${(@f)$(${ask} "\${(@)words[1,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${reply[1]}" ]]; then compadd -a reply; else _files; fi
}
compdef _culvert_completions culvert`,
} as const;
