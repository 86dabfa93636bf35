import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { DoctorReport } from '../../src/daemon/doctor/report.js';
import type { NetworkLab } from '../../src/linux/namespaces.js';
import { PROGRAM, UNHOOKED } from './program.js';

/** The doctor as an operator runs it in the namespace `a`, on a file whose gateway does not run. */
export async function askedDoctor(
  { lab, folder }: { readonly lab: NetworkLab; readonly folder: string },
  config: { readonly gateway: object },
  more: readonly string[] = [],
): Promise<{ readonly code: number | null; readonly report: DoctorReport }> {
  const file = join(folder, 'not-running.yaml');
  const gateway = { ...config.gateway, control: join(folder, 'nobody.sock') };
  writeFileSync(file, stringify({ ...config, gateway }), { mode: 0o600 });
  const culvert = ['env', ...UNHOOKED, process.execPath, PROGRAM];
  const argv = [...culvert, 'doctor', '--config', file, '--output', 'json', ...more];
  const { code, stdout, stderr } = await lab.run('a', argv);
  if (!stdout.startsWith('{')) throw new Error(`exit code ${code}: ${stderr}`);
  return { code, report: JSON.parse(stdout) as DoctorReport };
}
