import type { ConnectionWarning } from '../host/preflight.js';
import { connectionChecks } from './checks/connections.js';
import { filterChecks } from './checks/filters.js';
import { hostChecks } from './checks/host.js';
import { pathChecks } from './checks/path.js';
import type { Facts } from './facts.js';
import { type DoctorReport, doctorReport } from './report.js';

/** What there is to say of these facts. @param advice of the configuration, where no gateway gives it */
export function judge(facts: Facts, advice: readonly ConnectionWarning[] = []): DoctorReport {
  const { file, running } = facts;
  const gateway = file === undefined ? null : { name: file.gateway.name, address: file.gateway.address };
  const entries = [
    ...hostChecks(facts),
    ...filterChecks(facts),
    ...pathChecks(facts),
    ...connectionChecks(facts, advice),
  ];
  return doctorReport({ gateway, running: running !== undefined }, entries);
}
