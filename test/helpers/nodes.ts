import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Names the folder into which CI installs other versions of Node, as npm packages (`node22` and so on). */
const FOLDER_VARIABLE = 'CULVERT_TEST_NODES';

/** The programs of other versions of Node, with the name of each package, and for tap's `skip` why there are none. */
export function otherNodes(): {
  readonly nodes: readonly { readonly name: string; readonly program: string }[];
  readonly skip: string | false;
} {
  const folder = process.env[FOLDER_VARIABLE];
  if (folder === undefined) return { nodes: [], skip: `${FOLDER_VARIABLE} names no folder with other Nodes` };
  const packages = join(folder, 'node_modules');
  if (!existsSync(packages)) return { nodes: [], skip: `${FOLDER_VARIABLE}: there is no ${packages}` };
  const nodes = readdirSync(packages)
    .filter((name) => /^node\d+$/.test(name))
    .sort()
    .map((name) => ({ name, program: join(packages, name, 'bin/node') }));
  return { nodes, skip: nodes.length === 0 && `there is no Node in ${packages}` };
}
