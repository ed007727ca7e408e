import { existsSync } from 'node:fs'
import t from 'tap'
import { loadConfig } from '../src/config.ts'
import { milliseconds } from '../src/config/kinds.ts'
import { contract } from './fixtures/contract.ts'
import { type Env, caddyfile, chosen, compose, composeEnv, container, dockerfile, environments, foreign, imageEnv, inImage, known, kubernetesEnv, objects, pod, replicas, text } from './fixtures/deployment.ts'

t.test('every setting that is deployed is known, and its value accepted', async (t) => {
  for (const [where, env] of environments) {
    t.strictSame(Object.keys(env).filter((name) => !known.includes(name) && !foreign.includes(name)), [], `${where}: known`)
    t.doesNotThrow(() => loadConfig(env), `${where}: accepted`)
  }
  for (const path of ['Dockerfile', 'compose.yaml', 'deploy/Caddyfile', 'deploy/kubernetes/latchkey.yaml']) {
    const named = text(path).match(/\bLATCHKEY_[A-Z_]+/g) ?? []
    t.strictSame(named.filter((name) => !known.includes(name)), [], `${path} names no other`)
  }
})

t.test('Dockerfile: the image is built of two stages that fit together, and the last has no compiler', async (t) => {
  const bases = dockerfile.map(([from]) => from?.args.split(' ')[0] ?? '')
  t.strictSame(bases, ['node:22-bookworm', 'node:22-bookworm-slim'], 'one Node and one Debian, or the native module does not fit')
  t.strictSame(inImage('RUN').filter((command) => /\b(apt|npm|npx|g\+\+|gcc|make|python)/.test(command)), [], 'nothing is installed or compiled')
  t.ok(inImage('COPY').every((args) => args.startsWith('--from=build ')), 'it takes what the first stage made, nothing from outside')
  t.ok(dockerfile[0]?.some(({ args }) => /npm prune --omit=dev/.test(args)), 'less what only development needs')
})

t.test('Dockerfile: what the server needs is in the image', async (t) => {
  const copied = inImage('COPY').map((args) => args.split(' ').slice(1))
  t.strictSame(copied, [['/app/package.json', './'], ['/app/node_modules', 'node_modules'], ['/app/dist', 'dist']])
  t.strictSame(inImage('WORKDIR'), ['/app'])
  const [command = ''] = inImage('CMD')
  const { bin, files, scripts }: { bin: Env, files: string[], scripts: Env } = JSON.parse(text('package.json'))
  t.strictSame(JSON.parse(command), scripts['start']?.split(' '), 'it starts as npm start does')
  t.ok(existsSync(JSON.parse(command)[1]))
  t.ok(files.includes('dist'))
  t.ok(inImage('RUN').some((run) => run.includes(`/app/${bin['latchkey']} /usr/local/bin/latchkey`)), 'and the command line is at hand')
})

t.test('.dockerignore: the build is given what it needs, and no data, secret or .env', async (t) => {
  const [first, ...rest] = text('.dockerignore').split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  t.equal(first, '*')
  t.ok(rest.every((line) => /^![\w.-]+$/.test(line)))
  const given = rest.map((line) => line.slice(1))
  t.strictSame(given.filter((path) => !existsSync(path)), [], 'all of it is there')
  const { include }: { include: string[] } = JSON.parse(text('tsconfig.build.json'))
  // The load test is compiled with the rest, and is not in the image.
  t.strictSame(include.filter((folder) => !given.includes(folder)), ['bench'])
  t.ok(['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'drizzle'].every((path) => given.includes(path)))
  t.notOk(given.some((path) => /^(\.|data|node_modules|test|dist)/.test(path)))
})

t.test('Dockerfile: it runs as nobody in particular, and writes /data alone', async (t) => {
  const [user = ''] = inImage('USER')
  t.match(user, /^[1-9]\d*:[1-9]\d*$/, 'a number: Kubernetes cannot tell whether a name is root')
  t.equal(user, `${pod.securityContext.runAsUser}:${pod.securityContext.runAsGroup}`)
  t.strictSame(inImage('VOLUME'), ['/data'])
  t.ok(inImage('RUN').some((run) => /install -d -o node -g node -m 0700 \/data/.test(run)))
  t.same(loadConfig(imageEnv()).database, { path: '/data/latchkey.db' })
})

t.test('Dockerfile: it is told to stop by the signal that the service delays, and no shell is in between', async (t) => {
  t.strictSame(inImage('STOPSIGNAL'), ['SIGTERM'])
  t.strictSame(inImage('ENTRYPOINT'), [])
  t.match(inImage('CMD'), [/^\["node",/])
})

t.test('ports agree: what the service listens on is what the image, the proxy and the probes ask', async (t) => {
  const { host, port } = loadConfig(imageEnv())
  t.equal(host, '0.0.0.0')
  t.strictSame(inImage('EXPOSE'), [String(port)])
  const upstreams = /reverse_proxy (.+) \{/.exec(caddyfile)?.[1]?.split(' ')
  t.strictSame(upstreams, replicas.map(([name]) => `${name}:${port}`))
  const ports = Object.fromEntries(container.ports.map(({ name, containerPort }) => [name, containerPort]))
  t.strictSame(ports, { http: port, metrics: loadConfig(kubernetesEnv()).metrics?.port })
  const asked = [...JSON.stringify(objects).matchAll(/"(?:port|targetPort)":"(\w+)"/g)].map(([, name]) => name)
  t.strictSame([...new Set(asked)].sort(), ['http', 'metrics'])
  for (const [where, env] of environments) t.equal(loadConfig(env).port, port, where)
})

t.test('every health check asks a route that is there', async (t) => {
  const { livenessProbe, startupProbe, readinessProbe } = container
  t.strictSame([startupProbe, livenessProbe, readinessProbe].map(({ httpGet }) => httpGet.path), ['/livez', '/livez', '/readyz'])
  const [check = ''] = inImage('HEALTHCHECK')
  t.match(check, '/livez')
  t.match(caddyfile, /health_uri \/readyz\n/)
  for (const path of ['/livez', '/readyz']) t.ok(contract.paths[path], path)
})

t.test('the proxy is trusted by its address, and nobody else is', async (t) => {
  const networks = compose.services['caddy']?.networks ?? []
  const address = Array.isArray(networks) ? undefined : networks['front']?.ipv4_address
  for (const [, service] of replicas) t.strictSame(loadConfig(composeEnv(service)).trustProxy, [address])
  const subnet = compose.networks['front']?.ipam.config[0]?.subnet ?? ''
  t.ok(subnet.endsWith('.0/24') && address?.startsWith(subnet.replace(/0\/24$/, '')), 'it lies in its network')
  t.ok(replicas.every(([, { networks }]) => Array.isArray(networks) && networks.includes('front')))
})

t.test('time to stop: the proxy notices before a replica stops listening, and nobody kills it before it is done', async (t) => {
  const seconds = (name: string) => milliseconds(new RegExp(`${name} (\\w+)`).exec(caddyfile)?.[1] ?? '') / 1_000
  const finishing = 10
  for (const [, service] of replicas) {
    const delay = loadConfig(composeEnv(service)).shutdownDelay / 1_000
    t.ok(delay > seconds('health_interval') + seconds('health_timeout'))
    t.equal(milliseconds(service.stop_grace_period ?? '') / 1_000, delay + finishing)
  }
  const delay = loadConfig(kubernetesEnv()).shutdownDelay / 1_000
  const { periodSeconds, failureThreshold } = container.readinessProbe
  t.ok(delay > periodSeconds * failureThreshold)
  t.equal(pod.terminationGracePeriodSeconds, delay + finishing)
})

t.test('compose.yaml: both replicas are the same, on the same PostgreSQL, Redis and secret', async (t) => {
  t.equal(replicas.length, 2)
  t.strictSame(replicas[0]?.[1], replicas[1]?.[1])
  const { database, redisUrl, secret } = loadConfig(environments.find(([where]) => where === 'compose.yaml, latchkey-1')?.[1])
  const hosts = ['url' in database ? database.url : '', redisUrl ?? ''].map((url) => new URL(url).hostname)
  t.strictSame(hosts, ['postgres', 'redis'])
  t.ok(hosts.every((host) => compose.services[host]?.healthcheck), 'which are waited for')
  t.same(replicas[0]?.[1].depends_on, Object.fromEntries(hosts.map((host) => [host, { condition: 'service_healthy' }])))
  t.equal(secret, chosen['LATCHKEY_SECRET'])
})

t.test('compose.yaml: without its secrets it does not start', async (t) => {
  for (const name of ['LATCHKEY_SECRET', 'POSTGRES_PASSWORD', 'DOMAIN']) {
    const { [name]: _left, ...others } = chosen
    t.throws(() => Object.values(compose.services).map((service) => composeEnv(service, others)), new RegExp(`^${name}: `))
  }
})

t.test('compose.yaml: no container may write its root, gain privileges, or be reached but through the proxy', async (t) => {
  for (const [name, service] of Object.entries(compose.services)) {
    t.equal(service.read_only, true, name)
    t.strictSame(service.cap_drop, ['ALL'], name)
    t.strictSame(service.security_opt, ['no-new-privileges:true'], name)
    t.equal(service.ports !== undefined, name === 'caddy', name)
    const mounted = (service.volumes ?? []).map((volume) => volume.split(':')[0] ?? '')
    t.ok(mounted.every((source) => source.startsWith('./') ? existsSync(source) : source in compose.volumes), `${name}: what is mounted is there`)
  }
})

t.test('latchkey.yaml: no container may write its root or gain privileges, and secrets are in it by reference alone', async (t) => {
  t.equal(pod.enableServiceLinks, false)
  t.equal(pod.securityContext.runAsNonRoot, true)
  t.match(container.securityContext, { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } })
  const byReference = container.env.filter(({ valueFrom }) => valueFrom !== undefined)
  t.strictSame(byReference.map(({ name }) => name).sort(), ['DATABASE_URL', 'LATCHKEY_SECRET', 'LATCHKEY_SECRET_FALLBACKS', 'REDIS_URL'])
  t.ok(byReference.every(({ name, valueFrom }) => valueFrom?.secretKeyRef.name === 'latchkey' && valueFrom.secretKeyRef.key === name))
  t.notOk(objects.some(({ kind }) => kind === 'Secret'))
  const { version }: { version: string } = JSON.parse(text('package.json'))
  t.match(container.image, new RegExp(`/latchkey:${version.replaceAll('.', '\\.')}$`))
})

t.test('latchkey.yaml: everything selects the pods of the one Deployment', async (t) => {
  t.strictSame(objects.map(({ kind }) => kind), ['Deployment', 'PodDisruptionBudget', 'Service', 'NetworkPolicy'])
  const selectors = [...JSON.stringify(objects).matchAll(/"(?:matchLabels|labels|selector)":(\{"app[^}]*\})/g)].map(([, labels]) => labels)
  t.ok(selectors.length >= 7)
  t.strictSame([...new Set(selectors)], ['{"app.kubernetes.io/name":"latchkey"}'])
})
