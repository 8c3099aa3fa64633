//! Rows of hosts and devices.

use crate::LedgerError;
use crate::hosts::{Device, DeviceAbout, Host};
use crate::sql::value::{Row, Value, values};

pub(super) const COLUMNS_OF_HOST: &str = "SELECT id, environment, account, name, installation, os, \
    arch, version, token, token_expires_at, enrolled_at, seen_at, revoked_at FROM hosts";

pub(super) const COLUMNS_OF_DEVICE: &str = "SELECT id, host, account, display_name, device_type, \
    platform, os_version, device_model, app_version, paired_at, seen_at FROM devices";

pub(super) fn values_of_host(host: Host) -> Vec<Value> {
    values![
        host.id,
        host.environment,
        host.account,
        host.name,
        host.installation,
        host.os,
        host.arch,
        host.version,
        host.token,
        host.token_expires_at,
        host.enrolled_at,
        host.seen_at,
        host.revoked_at,
    ]
}

pub(super) fn read_host(row: &Row) -> Result<Host, LedgerError> {
    let mut columns = row.read();
    Ok(Host {
        id: columns.text()?,
        environment: columns.text()?,
        account: columns.text()?,
        name: columns.text()?,
        installation: columns.maybe_text()?,
        os: columns.text()?,
        arch: columns.text()?,
        version: columns.text()?,
        token: columns.maybe_hash()?,
        token_expires_at: columns.maybe_time()?,
        enrolled_at: columns.time()?,
        seen_at: columns.maybe_time()?,
        revoked_at: columns.maybe_time()?,
    })
}

pub(super) fn values_of_device(device: Device) -> Vec<Value> {
    let about = device.about;
    values![
        device.id,
        device.host,
        device.account,
        about.display_name,
        about.device_type,
        about.platform,
        about.os_version,
        about.device_model,
        about.app_version,
        device.paired_at,
        device.seen_at,
    ]
}

pub(super) fn read_device(row: &Row) -> Result<Device, LedgerError> {
    let mut columns = row.read();
    Ok(Device {
        id: columns.text()?,
        host: columns.text()?,
        account: columns.text()?,
        about: DeviceAbout {
            display_name: columns.maybe_text()?,
            device_type: columns.maybe_text()?,
            platform: columns.maybe_text()?,
            os_version: columns.maybe_text()?,
            device_model: columns.maybe_text()?,
            app_version: columns.maybe_text()?,
        },
        paired_at: columns.time()?,
        seen_at: columns.maybe_time()?,
    })
}
