import type { Site } from '../../store/site.js';
import { ApiError } from '../errors.js';
import { answered, type Call, type Operation, operation } from '../operation.js';
import * as Schemas from '../schemas/surroundings-answers.js';

/** Where subnets lie: one region, with the zones that the subnets name. It is read only. */
const tag = 'Surroundings';

export const regionOperations: readonly Operation[] = [
  operation({
    tag,
    method: 'GET',
    path: '/regions',
    id: 'list_regions',
    summary: 'List the regions: there is one',
    success: { 200: Schemas.Regions },
    errors: [],
    async handle(call, { site }) {
      return answered(200, { regions: [regionAnswer(call, site)] });
    },
  }),
  operation({
    tag,
    method: 'GET',
    path: '/regions/:region',
    id: 'get_region',
    summary: 'Retrieve a region',
    success: { 200: Schemas.Region },
    errors: [404],
    async handle(call, { site }) {
      checkRegion(call, site);
      return answered(200, regionAnswer(call, site));
    },
  }),
  operation({
    tag,
    method: 'GET',
    path: '/regions/:region/zones',
    id: 'list_region_zones',
    summary: 'List the zones of a region',
    success: { 200: Schemas.Zones },
    errors: [404],
    async handle(call, { site }) {
      checkRegion(call, site);
      return answered(200, { zones: zonesOf(site).map((zone) => zoneAnswer(zone, call, site)) });
    },
  }),
  operation({
    tag,
    method: 'GET',
    path: '/regions/:region/zones/:zone',
    id: 'get_region_zone',
    summary: 'Retrieve a zone',
    success: { 200: Schemas.Zone },
    errors: [404],
    async handle(call, { site }) {
      checkRegion(call, site);
      const zone = zonesOf(site).find((name) => name === call.params.zone);
      if (zone === undefined) throw new ApiError(404, 'not_found', 'there is no zone of this name');
      return answered(200, zoneAnswer(zone, call, site));
    },
  }),
];

function checkRegion({ params }: Call, { region }: Site): void {
  if (params.region === region) return;
  throw new ApiError(404, 'not_found', `there is no region but ${region}`);
}

function zonesOf({ subnets }: Site): readonly string[] {
  return [...new Set(subnets.map(({ zone }) => zone))].sort();
}

function regionAnswer({ links }: Call, { region }: Site): Schemas.RegionAnswer {
  return { endpoint: links.origin, href: links.region(), name: region, status: 'available' };
}

function zoneAnswer(zone: string, { links }: Call, { region }: Site): Schemas.ZoneAnswer {
  return {
    href: links.zone(zone),
    name: zone,
    region: { href: links.region(), name: region },
    status: 'available',
  };
}
