import type { StatusReason } from '../../connection/status.js';
import type { Site } from '../../store/site.js';
import type { ReasonAnswer } from '../schemas/answers.js';

/** Addresses and names of things as a client sees them. */
export class Links {
  /** `https://host:port`. */
  readonly origin: string;
  /** `https://host:port/v1`. */
  readonly base: string;
  readonly #site: Site;

  constructor(origin: string, site: Site) {
    this.origin = origin;
    this.base = `${origin}/v1`;
    this.#site = site;
  }

  crn(type: 'vpn' | 'subnet' | 'vpc' | 'vpc-routing-table', id: string): string {
    const { region, account } = this.#site;
    return `crn:v1:bluemix:public:is:${region}:a/${account}::${type}:${id}`;
  }

  gateway(id: string): string {
    return `${this.base}/vpn_gateways/${id}`;
  }

  connection(gateway: string, id: string): string {
    return `${this.gateway(gateway)}/connections/${id}`;
  }

  ikePolicy(id: string): string {
    return `${this.base}/ike_policies/${id}`;
  }

  ipsecPolicy(id: string): string {
    return `${this.base}/ipsec_policies/${id}`;
  }

  routingTable(vpc: string, id: string): string {
    return `${this.base}/vpcs/${vpc}/routing_tables/${id}`;
  }

  route(vpc: string, table: string, id: string): string {
    return `${this.routingTable(vpc, table)}/routes/${id}`;
  }

  region(): string {
    return `${this.base}/regions/${this.#site.region}`;
  }

  zone(name: string): string {
    return `${this.region()}/zones/${name}`;
  }

  reservedIp(subnet: string, id: string): string {
    return `${this.base}/subnets/${subnet}/reserved_ips/${id}`;
  }

  /** A resource of this server's own API, beside the one of the documents. */
  own(path: string): string {
    return `${this.origin}/culvert/v1/${path}`;
  }

  /** A topic of the documents, which this server has itself: a document and an anchor in it. */
  docs(topic: string): string {
    return `${this.origin}${DOCS_PATH}/${topic}`;
  }

  resourceGroup(id: string): { href: string; id: string; name?: string } {
    const found = this.#site.resourceGroups.find((group) => group.id === id);
    const href = `${this.base}/resource_groups/${id}`;
    return { href, id, ...(found === undefined ? {} : { name: found.name }) };
  }

  subnet(id: string): { crn: string; href: string; id: string; name: string; resource_type: 'subnet' } {
    const found = this.#site.subnets.find((subnet) => subnet.id === id);
    return {
      crn: this.crn('subnet', id),
      href: `${this.base}/subnets/${id}`,
      id,
      name: found?.name ?? 'deleted-subnet',
      resource_type: 'subnet',
    };
  }

  vpc(id: string): { crn: string; href: string; id: string; name: string; resource_type: 'vpc' } {
    const found = this.#site.vpcs.find((vpc) => vpc.id === id);
    return {
      crn: this.crn('vpc', id),
      href: `${this.base}/vpcs/${id}`,
      id,
      name: found?.name ?? 'deleted-vpc',
      resource_type: 'vpc',
    };
  }
}

/** Path of the documents that `more_info` leads to. */
export const DOCS_PATH = '/culvert/v1/docs';

/** A status reason in the contract's form, which has no field for our details. */
export function reasonAnswer(reason: StatusReason, links: Links): ReasonAnswer {
  const { code, message } = reason;
  const link = moreInfo(reason, links);
  return link === undefined ? { code, message } : { code, message, more_info: link };
}

/** The absolute link of a status reason. Its finer cause is in it as `?cause=`, before the anchor of the documents. */
export function moreInfo({ more_info, details }: StatusReason, links: Links): string | undefined {
  if (more_info === undefined) return undefined;
  const [page, anchor] = more_info.split('#');
  const cause = details === undefined ? '' : `?cause=${encodeURIComponent(details.cause)}`;
  return links.docs(`${page}${cause}${anchor === undefined ? '' : `#${anchor}`}`);
}
