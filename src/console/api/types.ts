import type { components } from '../generated/api.d.ts';

/** The objects of the API, by the names of its OpenAPI document. */
type Schemas = components['schemas'];

/** A VPN gateway. */
export type Gateway = Schemas['VPNGateway'];
/** A member of a gateway: its address, role and health. */
export type Member = Schemas['VPNGatewayMember'];
/** A connection of a gateway of policy mode. */
export type PolicyConnection = Schemas['VPNGatewayConnectionPolicyMode'];
/** A connection of a gateway of route mode. */
export type RouteConnection = Schemas['VPNGatewayConnectionStaticRouteMode'];
/** A connection in the form of the newest version, which is the one that is asked for. */
export type Connection = PolicyConnection | RouteConnection;
/** Why a connection is as it is. */
export type Diagnosis = Schemas['VPNGatewayConnectionDiagnosis'];
/** How a connection has fared. */
export type History = Schemas['VPNGatewayConnectionHistory'];
/** An IKE policy. */
export type IkePolicy = Schemas['IKEPolicy'];
/** An IPsec policy. */
export type IpsecPolicy = Schemas['IPsecPolicy'];
/** A subnet of a VPC. */
export type Subnet = Schemas['Subnet'];
/** A VPC. */
export type Vpc = Schemas['VPC'];
/** A zone of the region. */
export type Zone = Schemas['Zone'];
/** A routing table of a VPC. */
export type RoutingTable = Schemas['RoutingTable'];
/** A route of a routing table. */
export type Route = Schemas['Route'];
/** An entry of the audit trail. */
export type AuditEntry = Schemas['AuditEntry'];
/** An event of the stream. */
export type CulvertEvent = Schemas['Event'];
/** Who is logged in. */
export type ConsoleSession = Schemas['ConsoleSession'];
/** Everyone who may log in. */
export type Credentials = Schemas['CredentialCollection'];
/** An IKE identity. */
export type Identity = PolicyConnection['peer']['ike_identity'];
