import { existsSync, readFileSync } from 'node:fs';
import type { Test } from 'tap';
import { hashSecret, newSecret } from '../../src/api/auth/credentials.js';
import { PSK, ServeLab, until, VPCS } from '../helpers/serve-lab.js';

/** The credentials of the two people who use the console. */
export const EDITOR = newSecret();
export const VIEWER = newSecret();

const DOCUMENTS = new URL('../../../shared/reference/seeds/', import.meta.url);

/** A sentence of a document, of that on connections unless named. Throws when it is there and does not say so. */
export function seed(sentence: string, document = 'seed-000-adding-connections'): string {
  const file = new URL(`${document}.txt`, DOCUMENTS);
  if (!existsSync(file)) return sentence;
  const text = readFileSync(file, 'utf8').replaceAll(/\s+/g, ' ');
  if (!text.includes(sentence)) throw new Error(`the document does not say: ${sentence}`);
  return sentence;
}

/** Two VPCs on one link and a server for them, with real gateways; ends with the test. */
export async function openSite(t: Test, more: object = {}): Promise<ServeLab> {
  const lab = await ServeLab.open({
    tokens: [
      { name: 'ed', role: 'editor', hash: hashSecret(EDITOR) },
      { name: 'vi', role: 'viewer', hash: hashSecret(VIEWER) },
    ],
    ...more,
  });
  t.teardown(() => lab.dispose());
  await lab.start();
  return lab;
}

/** A gateway in a VPC of the site, by number from 1, that runs; returns its id. */
export async function addGateway(lab: ServeLab, n: number, name = `gateway-${n}`): Promise<string> {
  const made = await call(lab, 'POST', '/vpn_gateways', {
    name,
    subnet: { id: await subnetOf(lab, n) },
    mode: 'policy',
  });
  await until('the gateway is stable', async () => {
    const { lifecycle_state: state, health_state: health } = (await call(
      lab,
      'GET',
      `/vpn_gateways/${made.id}`,
    )) as {
      lifecycle_state: string;
      health_state: string;
    };
    return state === 'stable' && health === 'ok';
  });
  return String(made.id);
}

/** The connection of a gateway to the other one; returns its id. */
export async function addConnection(
  lab: ServeLab,
  gateway: string,
  n: number,
  more: object = {},
): Promise<string> {
  const [here, there] = [VPCS[n - 1]!, VPCS[2 - n]!];
  const made = await call(lab, 'POST', `/vpn_gateways/${gateway}/connections`, {
    name: `to-gateway-${3 - n}`,
    psk: PSK,
    local: { cidrs: [here.cidr] },
    peer: { address: there.gatewayAddress, cidrs: [there.cidr] },
    ...more,
  });
  return String(made.id);
}

/** A request as the editor. */
export async function call(
  lab: ServeLab,
  method: string,
  path: string,
  body?: object,
): Promise<Record<string, unknown>> {
  const answer = await fetch(`${lab.url}/v1${path}?version=2026-06-02&generation=2`, {
    method,
    headers: { authorization: `Bearer ${EDITOR}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
}

async function subnetOf(lab: ServeLab, n: number): Promise<string> {
  const { subnets } = (await call(lab, 'GET', '/subnets')) as { subnets: { id: string; name: string }[] };
  return subnets.find(({ name }) => name === `subnet-${n}`)!.id;
}
