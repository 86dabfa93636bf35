import type { CliCommand } from '../command.js';
import { connectionCommands } from './connections.js';
import { diagnosisCommands } from './diagnosis.js';
import { gatewayCommands } from './gateways.js';
import { policyCommands } from './policies.js';
import { routingCommands } from './routing.js';
import { toCliCommand } from './spec.js';

/** The commands of the VPN API, with the names and arguments of the reference CLI. */
export const vpnCommands: readonly CliCommand[] = [
  ...gatewayCommands,
  ...connectionCommands,
  ...diagnosisCommands,
  ...policyCommands,
  ...routingCommands,
].map(toCliCommand);
