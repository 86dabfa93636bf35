import { InlineNotification, Loading } from '@carbon/react';
import { useQueryClient } from '@tanstack/react-query';
import { lazy, type ReactNode, Suspense, useEffect, useState } from 'react';
import { Redirect, Route, Switch, useLocation } from 'wouter';
import { liveUpdates } from '../api/live.ts';
import { beginSession } from '../api/login.ts';
import { sessionNow, setSession, useSession } from '../api/session.ts';
import { GatewaysPage } from '../pages/gateways.tsx';
import { ErrorBoundary } from './error-boundary.tsx';
import { LoginAgain, LoginPage } from './login.tsx';
import { Shell } from './shell.tsx';

const GatewayPage = lazy(async () => ({ default: (await import('../pages/gateway.tsx')).GatewayPage }));
const CreateGatewayPage = lazy(async () => ({
  default: (await import('../pages/create-gateway.tsx')).CreateGatewayPage,
}));
const ConnectionPage = lazy(async () => ({
  default: (await import('../pages/connection.tsx')).ConnectionPage,
}));
const CreateConnectionPage = lazy(async () => ({
  default: (await import('../pages/create-connection.tsx')).CreateConnectionPage,
}));
const EditConnectionPage = lazy(async () => ({
  default: (await import('../pages/edit-connection.tsx')).EditConnectionPage,
}));
const PoliciesPage = lazy(async () => ({ default: (await import('../pages/policies.tsx')).PoliciesPage }));
const RoutesPage = lazy(async () => ({ default: (await import('../pages/routes.tsx')).RoutesPage }));
const AuditPage = lazy(async () => ({ default: (await import('../pages/audit.tsx')).AuditPage }));
const AccessPage = lazy(async () => ({ default: (await import('../pages/access.tsx')).AccessPage }));

/** The console: a login, then the pages. */
export function App(): ReactNode {
  const session = useSession();
  const [fault, setFault] = useState<string>();
  useEffect(() => {
    if (sessionNow().state !== 'unknown') return;
    beginSession().catch((error: Error) => {
      setFault(error.message);
      setSession({ state: 'out' });
    });
  }, []);
  if (session.state === 'unknown') return <Loading description="Loading" />;
  if (session.state === 'out') return <LoginPage refused={fault} />;
  return (
    <>
      <Pages />
      {session.state === 'expired' ? <LoginAgain /> : null}
    </>
  );
}

function Pages(): ReactNode {
  const client = useQueryClient();
  const session = useSession();
  const isIn = session.state === 'in';
  useEffect(() => {
    if (!isIn) return;
    const end = new AbortController();
    liveUpdates(client, end.signal);
    return () => end.abort();
  }, [client, isIn]);
  const [place] = useLocation();
  return (
    <Shell>
      <ErrorBoundary place={place}>
        <Suspense fallback={<Loading withOverlay={false} description="Loading" />}>
          <Switch>
            <Route path="/">
              <Redirect to="/gateways" replace />
            </Route>
            <Route path="/gateways" component={GatewaysPage} />
            <Route path="/gateways/create" component={CreateGatewayPage} />
            <Route path="/gateways/:gateway">
              {({ gateway }) => <GatewayPage key={gateway} id={gateway} />}
            </Route>
            <Route path="/gateways/:gateway/create">
              {({ gateway }) => <CreateConnectionPage key={gateway} gatewayId={gateway} />}
            </Route>
            <Route path="/gateways/:gateway/:id">
              {({ gateway, id }) => <ConnectionPage key={id} gatewayId={gateway} id={id} />}
            </Route>
            <Route path="/gateways/:gateway/:id/edit">
              {({ gateway, id }) => <EditConnectionPage key={id} gatewayId={gateway} id={id} />}
            </Route>
            <Route path="/policies/:kind?" component={PoliciesPage} />
            <Route path="/routes" component={RoutesPage} />
            <Route path="/audit" component={AuditPage} />
            <Route path="/access" component={AccessPage} />
            <Route>
              <NoSuchPage />
            </Route>
          </Switch>
        </Suspense>
      </ErrorBoundary>
    </Shell>
  );
}

function NoSuchPage(): ReactNode {
  return (
    <InlineNotification
      kind="warning"
      title="There is no such page."
      subtitle="Choose one in the navigation."
      lowContrast
      hideCloseButton
    />
  );
}
