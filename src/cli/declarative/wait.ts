import { setTimeout as pause } from 'node:timers/promises';
import { CliError } from '../errors.js';
import { type ApiClient, type ApiObject, UnreachableError } from '../vpn/api-client.js';
import type { GatewayWish } from './document.js';

/** How long a gateway or connection may take to become what it is to be. */
const PATIENCE_MS = 120_000;
const LOOK_MS = 100;

/** Polls until `met`. `what` says, after the last poll, what is still missing. @throws CliError after two minutes */
export async function waitUntil(what: () => string, met: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await met())) {
    if (performance.now() > deadline) throw new CliError(`${what()} after ${PATIENCE_MS / 1000} s`);
    await pause(LOOK_MS);
  }
}

/** Resolves when the server answers, which may have been started a moment ago. @throws CliError */
export async function waitForServer(api: ApiClient): Promise<void> {
  let last = '';
  await waitUntil(
    () => `${last}; still so`,
    async () => {
      try {
        await api.get('/vpcs');
        return true;
      } catch (error) {
        if (!(error instanceof UnreachableError)) throw error;
        last = error.message;
        return false;
      }
    },
  );
}

/**
 * Resolves when the gateways of a file listen and their connections are up; those that are administratively down are
 * not waited for. @throws CliError naming what is not, and why
 */
export async function waitForTunnels(api: ApiClient, wishes: readonly GatewayWish[]): Promise<void> {
  const made = await madeOf(api, wishes);
  for (const { id, name } of made.keys()) {
    let state: unknown;
    await waitUntil(
      () => `gateway ${name} is still ${String(state)}`,
      async () => {
        const gateway = await api.get(`/vpn_gateways/${id}`);
        state = gateway.lifecycle_state;
        if (state === 'failed') {
          throw new CliError(`gateway ${name} has failed: ${reasonsOf(gateway.lifecycle_reasons)}`);
        }
        return state === 'stable';
      },
    );
  }
  for (const [{ id }, { connections }] of made) {
    const wanted = new Set(connections.filter((one) => one.admin_state_up).map((one) => one.name));
    let down: readonly ApiObject[] = [];
    await waitUntil(
      () => down.map((one) => `connection ${one.name} is down: ${reasonsOf(one.status_reasons)}`).join('; '),
      async () => {
        const all = await api.list(`/vpn_gateways/${id}/connections`, 'connections');
        down = all.filter((one) => wanted.has(one.name) && one.status !== 'up');
        return down.length === 0;
      },
    );
  }
}

/** The gateways with what was wanted. Names are unique in a VPC only; subnets say which one is meant. */
async function madeOf(api: ApiClient, wishes: readonly GatewayWish[]): Promise<Map<ApiObject, GatewayWish>> {
  const made = new Map<ApiObject, GatewayWish>();
  for (const gateway of await api.list('/vpn_gateways', 'vpn_gateways')) {
    const { id, name } = gateway.subnet as ApiObject;
    const wish = wishes.find(
      (one) => one.name === gateway.name && (one.subnet === id || one.subnet === name),
    );
    if (wish !== undefined) made.set(gateway, wish);
  }
  return made;
}

function reasonsOf(reasons: unknown): string {
  const messages = (reasons as readonly { readonly message: string }[]).map(({ message }) => message);
  return messages.length === 0 ? 'no reason is known yet' : messages.join(' ');
}
