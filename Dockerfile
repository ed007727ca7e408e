# Both stages are of one Node and one Debian: a native module may fit no other.
FROM node:22-bookworm AS build
WORKDIR /app
# Installing takes minutes, so only a change of the packages does it again.
COPY package.json package-lock.json ./
# What is optional is for Node 20.
RUN npm ci --omit=optional
COPY . .
# The drivers for other systems, and SQLite's source, are most of that module.
RUN npm run build \
  && npm prune --omit=dev --omit=optional \
  && cd node_modules/better-sqlite3 && rm -rf deps src && find prebuilds -type f ! -name 'linux-*' -delete
RUN chmod 0755 dist/src/cli.js

FROM node:22-bookworm-slim
# Reached from outside, its data on the volume; with PostgreSQL nothing is written there.
ENV NODE_ENV=production \
  HOST=0.0.0.0 \
  PORT=3000 \
  DATABASE_URL=file:/data/latchkey.db
WORKDIR /app
# They stay root's: the service cannot change itself.
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
RUN ln -s /app/dist/src/cli.js /usr/local/bin/latchkey \
  && install -d -o node -g node -m 0700 /data
# The user `node`, by number: Kubernetes cannot tell that a name is not root's.
USER 1000:1000
VOLUME /data
EXPOSE 3000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "--eval", "fetch('http://127.0.0.1:' + process.env.PORT + '/livez').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
# No shell and no npm in between: the signal reaches the service itself.
CMD ["node", "dist/src/server.js"]
