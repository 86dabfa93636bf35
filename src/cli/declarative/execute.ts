import { CliError } from '../errors.js';
import type { ApiClient, ApiObject } from '../vpn/api-client.js';
import { compact } from '../vpn/spec.js';
import type { ConnectionWish } from './document.js';
import type { Plan, Step } from './plan.js';
import { waitUntil } from './wait.js';

/** Carries a plan out, step by step. @throws CliError at the first step that is refused */
export async function execute(plan: Plan, api: ApiClient, done: (step: Step) => void): Promise<void> {
  const executor = new Executor(api);
  for (const step of plan.steps) {
    await executor.take(step);
    done(step);
  }
}

class Executor {
  readonly #api: ApiClient;
  /** Ids of gateways made on the way, by their keys in the plan. */
  readonly #made = new Map<string, string>();

  constructor(api: ApiClient) {
    this.#api = api;
  }

  async take(step: Step): Promise<void> {
    const api = this.#api;
    switch (step.do) {
      case 'create-policy':
        await api.call('POST', `/${step.kind}`, step.fields);
        return;
      case 'update-policy':
        await api.call('PATCH', `/${step.kind}/${step.id}`, step.fields);
        return;
      case 'delete-policy':
        await api.call('DELETE', `/${step.kind}/${step.id}`);
        return;
      case 'create-gateway': {
        const { body } = await api.call('POST', '/vpn_gateways', step.fields);
        this.#made.set(step.key, (body as ApiObject).id);
        return;
      }
      case 'delete-gateway':
        await this.#settled(step.id);
        await api.call('DELETE', `/vpn_gateways/${step.id}`);
        await this.#gone(step.id);
        return;
      case 'create-connection': {
        const path = `/vpn_gateways/${this.#gateway(step.gateway)}/connections`;
        await api.call('POST', path, await this.#newConnection(step.wish));
        return;
      }
      case 'update-connection': {
        const { ike_policy: ike, ipsec_policy: ipsec } = step.policies;
        await api.call('PATCH', `${connectionPath(step.gateway, step.id)}`, {
          ...step.fields,
          ...(ike === undefined ? {} : { ike_policy: await this.#policy('ike_policies', ike) }),
          ...(ipsec === undefined ? {} : { ipsec_policy: await this.#policy('ipsec_policies', ipsec) }),
        });
        return;
      }
      case 'delete-connection':
        await api.call('DELETE', connectionPath(step.gateway, step.id));
        return;
      case 'add-cidr':
      case 'remove-cidr': {
        const cidr = encodeURIComponent(step.cidr);
        const path = `${connectionPath(step.gateway, step.id)}/${step.side}/cidrs/${cidr}`;
        await api.call(step.do === 'add-cidr' ? 'PUT' : 'DELETE', path);
      }
    }
  }

  #gateway(idOrKey: string): string {
    return this.#made.get(idOrKey) ?? idOrKey;
  }

  async #newConnection(wish: ConnectionWish): Promise<object> {
    const { local, peer, ike_policy: ike, ipsec_policy: ipsec, ...fields } = wish;
    const cidrs = (all: readonly string[]) => (all.length === 0 ? undefined : all);
    return {
      ...fields,
      ...(ike === null ? {} : { ike_policy: await this.#policy('ike_policies', ike) }),
      ...(ipsec === null ? {} : { ipsec_policy: await this.#policy('ipsec_policies', ipsec) }),
      local: compact({ cidrs: cidrs(local.cidrs), ike_identities: local.ike_identities ?? undefined }),
      peer: compact({
        [peer.kind]: peer.value,
        cidrs: cidrs(peer.cidrs),
        ike_identity: peer.ike_identity ?? undefined,
      }),
    };
  }

  /** A policy of this name, which may have been made a moment ago; null stays null. */
  async #policy(
    kind: 'ike_policies' | 'ipsec_policies',
    name: string | null,
  ): Promise<{ readonly id: string } | null> {
    if (name === null) return null;
    const found = (await this.#api.list(`/${kind}`, kind)).find((one) => one.name === name);
    if (found === undefined) throw new CliError(`there is no policy "${name}" in ${kind}`);
    return { id: found.id };
  }

  /** A gateway that is pending cannot be deleted yet. */
  async #settled(id: string): Promise<void> {
    const what = () => `gateway ${id} is still pending`;
    await waitUntil(what, async () => {
      return (await this.#api.get(`/vpn_gateways/${id}`)).lifecycle_state !== 'pending';
    });
  }

  async #gone(id: string): Promise<void> {
    const what = () => `gateway ${id} is still being deleted`;
    await waitUntil(what, async () => {
      const all = await this.#api.list('/vpn_gateways', 'vpn_gateways');
      return !all.some((one) => one.id === id);
    });
  }
}

function connectionPath(gateway: string, id: string): string {
  return `/vpn_gateways/${gateway}/connections/${id}`;
}
