import type { Test } from 'tap';
import { formatConfigErrors } from '../../src/store/config-error.js';
import { readGatewayFile } from '../../src/store/gateway-file.js';

/** A file with one fault, or a few that belong together: name, text, and all that is said about it. */
export type BadFile = readonly [name: string, text: string, said: readonly string[]];

/** Each file is refused with exactly these lines. */
export function refuses(t: Pick<Test, 'same'>, files: readonly BadFile[]): void {
  for (const [name, text, said] of files) {
    const read = readGatewayFile(text, 'gateway.yaml');
    t.same(read.ok ? ['accepted'] : formatConfigErrors(read.error).split('\n'), said, name);
  }
}

/** The gateway that most files begin with: two lines. */
export const GATEWAY = 'gateway: { name: a, address: 192.0.2.1 }\n';

/** A connection in flow style on one line; `fields` replace or join the usual ones. */
export function connection(fields: Readonly<Record<string, string | undefined>> = {}): string {
  const all: Record<string, string | undefined> = {
    name: 'b',
    psk: 'correct-horse',
    local: '{ cidrs: [10.1.0.0/24] }',
    peer: '{ address: 192.0.2.2, cidrs: [10.2.0.0/24] }',
    ...fields,
  };
  const written = Object.entries(all).filter(([, value]) => value !== undefined);
  return `  - { ${written.map(([name, value]) => `${name}: ${value}`).join(', ')} }\n`;
}

export const connections = (...list: readonly string[]) => `connections:\n${list.join('')}`;
export const one = (fields: Readonly<Record<string, string | undefined>>) =>
  GATEWAY + connections(connection(fields));
export const peer = (fields: string) => one({ peer: `{ cidrs: [10.2.0.0/24], ${fields} }` });
export const ike = (fields: string) => `${GATEWAY}ike_policies:\n  - { name: p, ${fields} }\n`;
export const ipsec = (fields: string) => `${GATEWAY}ipsec_policies:\n  - { name: p, ${fields} }\n`;
export const cnsa2 = (rest: string) => modern(rest).replace('modern', 'cnsa2');
export const modern = (rest: string) => `gateway: { name: a, address: 192.0.2.1, profile: modern }\n${rest}`;
export const gateway = (fields: string) => `gateway: { ${fields} }\n`;
