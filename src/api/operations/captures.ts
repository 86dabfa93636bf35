import { CAPTURE_LIMITS } from '../../telemetry/capture/limits.js';
import * as Type from '../../util/json-schema.js';
import { BodyReader } from '../bodies.js';
import { View } from '../context.js';
import { ApiError } from '../errors.js';
import type { Operation } from '../operation.js';
import { CaptureRefused } from '../runner.js';
import { findConnection } from './shared.js';

/** A number within the bounds of captures. */
function bounded(name: keyof typeof CAPTURE_LIMITS, what: string) {
  const { usual, least, most } = CAPTURE_LIMITS[name];
  const description = `${what}, from ${least} to ${most}; ${usual} when left out`;
  return Type.Optional(Type.Integer({ minimum: least, maximum: most, description }));
}

const schema = Type.Object(
  {
    seconds: bounded('seconds', 'seconds'),
    bytes: bounded('bytes', 'octets of the file'),
    snap: bounded('snap', 'octets that are kept of a packet'),
    inner: Type.Optional(
      Type.Boolean({ description: 'the packets inside the tunnel, too, which are in the clear' }),
    ),
    dropped: Type.Optional(Type.Boolean({ description: 'dropped packets, too, with the reason' })),
    member: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 2, description: 'the member of the gateway, 1 or 2' }),
    ),
  },
  { additionalProperties: false },
);
const reader = new BodyReader(schema);

export const captureOperations: readonly Operation[] = [
  {
    tag: 'VPN gateway connection',
    prefixes: ['/v1', '/culvert/v1'],
    method: 'POST',
    path: '/vpn_gateways/:gateway/connections/:id/capture',
    id: 'capture_vpn_gateway_connection',
    summary: 'Capture packets of a connection as a pcapng file, which is sent as they pass',
    body: schema,
    media: 'application/x-pcapng',
    success: { 200: null },
    errors: [400, 404, 409],
    async handle(call, { store, runner, logger }) {
      const view = new View(await store.snapshot());
      const { gateway, connection } = findConnection(view, call.params.gateway!, call.params.id!);
      const wish = reader.read(call.body() ?? {});
      const { principal, requestId } = call.actor;
      const action = 'culvert.capture.create';
      const about = { connection: connection.id, who: principal.name, request_id: requestId };
      logger.info({ audit: true, action, ...about, ...wish }, action);
      try {
        const body = await runner.capture(gateway.id, connection.id, wish);
        return { status: 200, body, headers: { 'cache-control': 'no-store' } };
      } catch (error) {
        if (!(error instanceof CaptureRefused)) throw error;
        throw new ApiError(409, 'vpn_gateway_invalid_state', error.message);
      }
    },
  },
];
