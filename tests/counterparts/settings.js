// Node-RED without editor, web server or network of its own: it runs the flow, and ends when its parent does.
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));

module.exports = {
    httpAdminRoot: false,
    httpNodeRoot: false,
    telemetry: { enabled: false, updateNotification: false },
    externalModules: { autoInstall: false, palette: { allowInstall: false } },
    credentialSecret: false,
    runtimeState: { enabled: false },
    logging: { console: { level: "warn", metrics: false, audit: false } },
};
