import { DEFAULT_QUOTAS, type Quotas } from '../../store/site.js';
import * as Type from '../../util/json-schema.js';
import { View } from '../context.js';
import { answered, type Operation, operation } from '../operation.js';
import { pageOf, readPage } from '../paging.js';
import { type QuotaScope, quotaUses } from '../quotas.js';
import type { Links } from '../render/links.js';
import * as Schemas from '../schemas/surroundings-answers.js';
import { choice, PAGE_QUERY } from './shared.js';

const NAMES = Object.keys(DEFAULT_QUOTAS) as (keyof Quotas)[];

export const quotaOperations: readonly Operation[] = [
  operation({
    tag: 'Server',
    method: 'GET',
    path: '/quotas',
    prefixes: ['/culvert/v1'],
    id: 'list_quotas',
    summary: 'List the quotas with what is used of them, for each thing that they are counted in',
    query: { ...PAGE_QUERY, name: Type.Optional(Type.Enum(NAMES)) },
    success: { 200: Schemas.Quotas },
    errors: [400],
    async handle(call, { store, site }) {
      const name = choice(call, 'name', NAMES);
      const uses = quotaUses(new View(await store.snapshot()), site);
      const rows = uses
        .map((item, index) => ({ item, key: [String(index).padStart(9, '0'), item.name] as const }))
        .filter(({ item }) => name === undefined || item.name === name);
      const filters: Record<string, string> = name === undefined ? {} : { name };
      const page = pageOf(rows, readPage(call.query, 50), false, call.links.own('quotas'), filters);
      const quotas = page.items.map(({ scope, ...use }) => ({
        ...use,
        scope: scopeAnswer(scope, call.links),
      }));
      return answered(200, { ...page.frame, quotas });
    },
  }),
];

function scopeAnswer(
  { type, id, name, gateway, vpc, zone }: QuotaScope,
  links: Links,
): Schemas.QuotaAnswer['scope'] {
  const hrefs = {
    region: () => links.region(),
    zone: () => links.zone(id),
    vpc: () => links.vpc(id).href,
    routing_table: () => links.routingTable(vpc!, id),
    vpn_gateway: () => links.gateway(id),
    vpn_gateway_connection: () => links.connection(gateway!, id),
  };
  const within = zone === undefined ? {} : { zone: { href: links.zone(zone), name: zone } };
  return { resource_type: type, id, name, href: hrefs[type](), ...within };
}
