import { CliError } from '../errors.js';
import { suggestion } from '../nearest.js';
import type { ApiClient, ApiObject } from './api-client.js';

/** Kinds of objects that command lines name, by name or id. */
export const KINDS = {
  ike_policy: { path: '/ike_policies', list: 'ike_policies', word: 'IKE policy' },
  ipsec_policy: { path: '/ipsec_policies', list: 'ipsec_policies', word: 'IPsec policy' },
  vpn_gateway: { path: '/vpn_gateways', list: 'vpn_gateways', word: 'VPN gateway' },
  subnet: { path: '/subnets', list: 'subnets', word: 'subnet' },
  vpc: { path: '/vpcs', list: 'vpcs', word: 'VPC' },
  resource_group: { path: '/resource_groups', list: 'resource_groups', word: 'resource group' },
} as const;
/** A kind of object that commands find by name or id. */
export type Kind = keyof typeof KINDS;

/** The object of this name or id. @throws CliError when there is none, or more than one of the name */
export async function resolveObject(api: ApiClient, kind: Kind, nameOrId: string): Promise<ApiObject> {
  const { path, list, word } = KINDS[kind];
  return choose(await objectsOf(api, path, list), nameOrId, word);
}

/** A gateway by name or id; with `vpc` only those of this VPC count, which makes a name unique. */
export async function resolveGateway(
  api: ApiClient,
  nameOrId: string,
  vpc: string | undefined,
): Promise<ApiObject> {
  const all = await api.list('/vpn_gateways', 'vpn_gateways');
  if (vpc === undefined) return choose(all, nameOrId, 'VPN gateway', '; name its VPC with --vpc');
  const { id } = await resolveObject(api, 'vpc', vpc);
  return choose(
    all.filter((one) => (one.vpc as ApiObject).id === id),
    nameOrId,
    'VPN gateway',
  );
}

/** Finds an object of a list by its name or id. @throws CliError when there is none, or more than one of the name */
export async function resolveIn(
  api: ApiClient,
  path: string,
  list: string,
  nameOrId: string,
  word: string,
): Promise<ApiObject> {
  return choose(await api.list(path, list), nameOrId, word);
}

/** Finds a connection of a gateway by its name or id. @throws CliError when there is none, or more than one */
export async function resolveConnection(
  api: ApiClient,
  gateway: ApiObject,
  nameOrId: string,
): Promise<ApiObject> {
  const all = await api.list(`/vpn_gateways/${gateway.id}/connections`, 'connections');
  return choose(all, nameOrId, `connection of ${gateway.name}`);
}

/** Lists of surroundings are short and, as resource groups, need not be paged. */
async function objectsOf(api: ApiClient, path: string, list: string): Promise<ApiObject[]> {
  if (list !== 'resource_groups') return api.list(path, list);
  const { resources, resource_groups: groups } = await api.get(path);
  return (resources ?? groups ?? []) as ApiObject[];
}

function choose(all: readonly ApiObject[], nameOrId: string, word: string, hint = '; use its id'): ApiObject {
  const byId = all.find(({ id }) => id === nameOrId);
  if (byId !== undefined) return byId;
  const [found, ...others] = all.filter(({ name }) => name === nameOrId);
  if (found === undefined) {
    const names = all.map(({ name }) => name);
    const known = suggestion(nameOrId, names) || `; there are: ${names.join(', ') || 'none'}`;
    throw new CliError(`there is no ${word} "${nameOrId}"${known}`);
  }
  if (others.length === 0) return found;
  throw new CliError(`${others.length + 1} of the kind ${word} are called "${nameOrId}"${hint}`);
}
