import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { otherNodes } from '../helpers/nodes.js';
import { programOutcome, UNHOOKED } from '../helpers/program.js';

const CASES = fileURLToPath(new URL('../helpers/dh-cases.mjs', import.meta.url));

/** What may become of each kind of value. Whether one outside the subgroup of order q is taken is up to OpenSSL. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  inside: ['ok'],
  outside: ['ok', 'refused_by_library'],
  either: ['ok', 'refused_by_library'],
  subgroup: ['out_of_subgroup'],
  bad: ['out_of_range', 'not_on_curve', 'weak_result'],
  length: ['bad_length'],
};

interface Report {
  readonly node: string;
  readonly honest: number;
  readonly objects: number;
  readonly outcomes: readonly {
    readonly backend: string;
    readonly group: number;
    readonly kind: string;
    readonly tail: string;
    readonly code: string;
  }[];
}

async function judge(t: Test, program: string): Promise<Report> {
  const { code, out, err } = await programOutcome(['env', ...UNHOOKED, program, CASES]);
  t.equal(code, 0, `it ran to its end: ${err}`);
  const report = JSON.parse(out) as Report;
  const wrong = report.outcomes.filter(({ kind, code }) => !ALLOWED[kind]?.includes(code));
  t.same(wrong, [], 'every value is taken or refused as it should be');
  t.ok(report.outcomes.length > 150, `${report.outcomes.length} values`);
  // 7 MODP groups by OpenSSL and 1 by bn.js, 3 MODP groups with a subgroup, 3 ECP groups and Curve25519 by both.
  t.equal(report.honest, 22, 'honest exchanges agree in every group');
  const major = Number.parseInt(report.node, 10);
  t.equal(report.objects, major < 22 ? 10 : 0, 'no prime is tested where that takes long');
  return report;
}

t.test('Diffie-Hellman with values of all kinds, under this Node', async (t) => {
  const { node } = await judge(t, process.execPath);
  t.equal(node, process.versions.node);
});

const { nodes, skip } = otherNodes();
t.test('Diffie-Hellman with values of all kinds, under other versions of Node', { skip }, async (t) => {
  for (const { name, program } of nodes) {
    await t.test(name, async (t) => {
      const { node } = await judge(t, program);
      t.match(node, new RegExp(`^${name.slice('node'.length)}\\.`));
    });
  }
});
