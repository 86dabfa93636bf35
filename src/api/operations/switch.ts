import { View } from '../context.js';
import { ApiError } from '../errors.js';
import { done, type Operation, operation } from '../operation.js';
import { SwitchRefused } from '../runner.js';
import { findGateway, refuseDeleting } from './shared.js';

export const switchOperations: readonly Operation[] = [
  operation({
    tag: 'VPN gateway',
    prefixes: ['/v1', '/culvert/v1'],
    method: 'POST',
    path: '/vpn_gateways/:id/switch',
    id: 'switch_vpn_gateway',
    summary: 'Let the standby member of a policy mode gateway take over from the active one',
    success: { 202: null },
    errors: [404, 409],
    async handle(call, { store, runner, logger }) {
      const gateway = findGateway(new View(await store.snapshot()), call.params.id!);
      refuseDeleting(gateway);
      const { id, value } = gateway;
      const refused = (message: string): ApiError =>
        new ApiError(409, 'vpn_gateway_invalid_state', `gateway ${value.name}: ${message}`);
      if (value.mode === 'route') throw refused('both members are active in route mode, there is no standby');
      const { principal, requestId } = call.actor;
      const action = 'culvert.gateway.switch';
      logger.info({ audit: true, action, gateway: id, who: principal.name, request_id: requestId }, action);
      try {
        await runner.switch(id);
      } catch (error) {
        if (!(error instanceof SwitchRefused)) throw error;
        throw refused(error.message);
      }
      return done(202);
    },
  }),
];
