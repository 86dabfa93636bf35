import {
  Content,
  Header,
  HeaderGlobalAction,
  HeaderGlobalBar,
  HeaderMenuButton,
  HeaderName,
  SideNav,
  SideNavItems,
  SideNavLink,
  SkipToContent,
} from '@carbon/react';
import {
  Asleep,
  Catalog,
  Gateway as GatewayIcon,
  Light,
  Logout,
  Password,
  Policy,
  Router as RouteIcon,
} from '@carbon/react/icons';
import { type ComponentType, type ReactNode, useState } from 'react';
import { useLocation } from 'wouter';
import { useLiveness } from '../api/live.ts';
import { logOut } from '../api/login.ts';
import { useWho } from '../api/session.ts';
import { clockTime } from '../parts/time.tsx';
import { chooseTheme, useTheme } from './theme.ts';

const PLACES: readonly (readonly [path: string, title: string, icon: ComponentType])[] = [
  ['/gateways', 'VPN gateways', GatewayIcon],
  ['/policies', 'Policies', Policy],
  ['/routes', 'Routing tables', RouteIcon],
  ['/audit', 'Audit trail', Catalog],
  ['/access', 'Access', Password],
];

/** What is around every page: header, navigation, and the word that the page is out of date. */
export function Shell({ children }: { readonly children: ReactNode }): ReactNode {
  const [isExpanded, setExpanded] = useState(false);
  const toggle = (): void => setExpanded(!isExpanded);
  return (
    <>
      <Header aria-label="Culvert">
        <SkipToContent />
        <HeaderMenuButton
          aria-label={isExpanded ? 'Close the navigation' : 'Open the navigation'}
          isActive={isExpanded}
          onClick={toggle}
          aria-expanded={isExpanded}
        />
        <HeaderName href="/console/gateways" prefix="">
          Culvert
        </HeaderName>
        <Tools />
        <Navigation expanded={isExpanded} toggle={toggle} close={() => setExpanded(false)} />
      </Header>
      <Content id="main-content">
        <StaleBanner />
        {children}
      </Content>
    </>
  );
}

function Navigation({
  expanded,
  toggle,
  close,
}: {
  readonly expanded: boolean;
  readonly toggle: () => void;
  readonly close: () => void;
}): ReactNode {
  const [place, navigate] = useLocation();
  return (
    <SideNav aria-label="Pages" expanded={expanded} onSideNavBlur={toggle} onOverlayClick={toggle}>
      <SideNavItems>
        {PLACES.map(([path, title, icon]) => (
          <SideNavLink
            key={path}
            href={`/console${path}`}
            renderIcon={icon}
            isActive={place.startsWith(path)}
            onClick={(event: { preventDefault(): void }) => {
              event.preventDefault();
              navigate(path);
              close();
            }}
          >
            {title}
          </SideNavLink>
        ))}
      </SideNavItems>
    </SideNav>
  );
}

function Tools(): ReactNode {
  const theme = useTheme();
  const who = useWho();
  const other = theme === 'dark' ? 'light' : 'dark';
  return (
    <HeaderGlobalBar>
      {who === undefined ? null : (
        <span className="who">
          {who.name} <span className="role">{who.role}</span>
        </span>
      )}
      <HeaderGlobalAction
        aria-label={other === 'dark' ? 'Dark colours' : 'Light colours'}
        onClick={() => chooseTheme(other)}
      >
        {other === 'dark' ? <Asleep size={20} /> : <Light size={20} />}
      </HeaderGlobalAction>
      {who === undefined || who.by === 'none' ? null : (
        <HeaderGlobalAction aria-label="Log out" tooltipAlignment="end" onClick={() => void logOut()}>
          <Logout size={20} />
        </HeaderGlobalAction>
      )}
    </HeaderGlobalBar>
  );
}

/** Said in words, and by the whole page: figures that do not move look like figures that need not. */
function StaleBanner(): ReactNode {
  const live = useLiveness();
  if (live.state !== 'lost') return null;
  return (
    <p className="stale" role="status">
      The server has not been heard since {clockTime(live.since)}: what you see is of that time. It is being
      tried again…
    </p>
  );
}
