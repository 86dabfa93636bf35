import type { CliCommand } from './command.js';
import type { Style } from './style.js';
import { renderPairs } from './table.js';

const GROUPS: readonly (readonly [title: string, names: readonly string[]])[] = [
  [
    'A gateway with a file',
    ['run', 'check', 'status', 'explain', 'events', 'doctor', 'capture', 'up', 'down', 'reload', 'psk'],
  ],
  ['Try and measure it', ['pair', 'bench']],
  [
    'The API server and its gateways',
    ['serve', 'serve-reload', 'apply', 'export', 'backup', 'restore', 'store', 'token', 'console'],
  ],
];

const API_TITLE = 'Objects of the API';
const REST_TITLE = 'Further';

/** The list of commands, those of a gateway first and the many of the API last. */
export function topHelp(
  commands: readonly CliCommand[],
  isOfApi: (command: CliCommand) => boolean,
  { style, width }: { readonly style: Style; readonly width: number },
): string[] {
  const shown = commands.filter(({ hidden }) => hidden !== true);
  const grouped = new Set(GROUPS.flatMap(([, names]) => names));
  const find = (name: string): readonly CliCommand[] => shown.filter((one) => one.name === name);
  const sections: (readonly [string, readonly CliCommand[]])[] = [
    ...GROUPS.map(([title, names]) => [title, names.flatMap(find)] as const),
    [REST_TITLE, shown.filter((one) => !grouped.has(one.name) && !isOfApi(one))],
    [API_TITLE, shown.filter(isOfApi)],
  ];
  const lines = sections.flatMap(([title, members]) => {
    const pairs = members.map(({ name, description }) => [`culvert ${name}`, description] as const);
    return ['', style.bold(title), ...renderPairs(pairs, { indent: '  ', width })];
  });
  return [
    'Usage: culvert <command> [options]',
    '',
    'IKE/IPsec site-to-site VPN gateway in userland.',
    ...lines,
    '',
    'culvert <command> --help shows operands, options and examples; culvert --version the version.',
    'Begin with culvert pair --once: two gateways, a tunnel and traffic through it, on this machine.',
    'Exit codes: 0 done, 1 it failed, 2 wrong usage.',
  ];
}
