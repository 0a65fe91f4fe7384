//! `policy explain`: the decision on one request, with the policies that decided. The service decides, or this program by a set
//! that it reads.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

use clap::ArgGroup;

use super::{
    BoxError, ResultPrinter, SetOptions,
    cases::{self, AskedAction, CredentialName, ImagePath, RequestCase},
    told,
};
use crate::{
    cli::{ClientOptions, PolicyRequest, PolicyService},
    clock::Clock,
    domain::{
        AccountId, Claim, ClaimName, Claims, ImageId, Invalid, Justification, PermissionKey, Principal, Reason, Ticket,
        Timestamp, decision::ImageAttributes,
    },
};

/// The arguments of `policy explain`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("request").args(["share", "case"]).required(true))]
pub struct ExplainOptions {
    #[command(flatten)]
    set: SetOptions,
    /// The image: ACCOUNT/REGION/IMAGE, or IMAGE alone with a default account and a default Region
    #[arg(value_name = "SHARE", requires = "with")]
    share: Option<ImageArg>,
    /// The recipient: 12 digits, not the owner
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    with: Option<AccountId>,
    /// The principal that asks [default with a service: the caller]. To ask the service about another one, you need the role
    /// auditor
    #[arg(long = "as", value_name = "PRINCIPAL")]
    asking: Option<Principal>,
    /// What it asks for
    #[arg(long, value_enum, default_value_t = AskedAction::Grant)]
    action: AskedAction,
    /// Its reason
    #[arg(short = 'm', long, value_name = "TEXT", default_value = "policy explain")]
    reason: Reason,
    /// Its ticket
    #[arg(short, long, value_name = "TICKET")]
    ticket: Option<Ticket>,
    /// What it proved its name with: CERTIFICATE, TOKEN or TRUSTED_HEADER. May be given more than once [default: not known; for
    /// the caller of the service, what it presents]
    #[arg(long = "credential", value_name = "KIND")]
    credentials: Vec<CredentialName>,
    /// A claim of its token. May be given more than once; it then has no others. NAME= means that it does not have the claim
    /// [default: not known]
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(ClaimName, String)>,
    /// The time of the decision, such as 2026-11-30T10:00:00+01:00 [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    time: Option<Timestamp>,
    /// When the share is to end, such as 2026-12-31T23:00:00Z [default: without an end]
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// What AWS reports about the image: state, operatingSystem, tenancy, created or name [default: not known]
    #[arg(long = "fact", value_name = "NAME=VALUE", value_parser = fact)]
    facts: Vec<(String, String)>,
    /// A tag of the image. An empty text means that it has no tags [default: not known]
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    tags: Vec<Option<(String, String)>>,
    /// Explain the case with this name in --file
    #[arg(long, value_name = "NAME", requires = "file", conflicts_with_all = ["with", "asking"])]
    case: Option<String>,
    /// The file of the case
    #[arg(long, value_name = "FILE", requires = "case")]
    file: Option<PathBuf>,
}

/// The image of the command line.
#[derive(Debug, Clone)]
enum ImageArg {
    Whole(ImagePath),
    Short(ImageId),
}

impl FromStr for ImageArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.contains('/') {
            true => text.parse().map(Self::Whole),
            false => text
                .parse()
                .map(Self::Short)
                .map_err(|error| format!("{error}, or ACCOUNT/REGION/IMAGE")),
        }
    }
}

pub(super) async fn explain(
    options: ExplainOptions,
    client: &ClientOptions,
    results: ResultPrinter,
) -> Result<(), BoxError> {
    let told = match options.is_for_service(client)? {
        true => {
            let request = options.service_request(client)?;
            PolicyService::open(client).await?.explain(request).await?
        }
        false => {
            let set = options.set.set(client).await?;
            let request = options.request(client)?;
            let verdict = request.decide(&set);
            let near = match verdict.is_allowed() {
                true => Vec::new(),
                false => request.near(&set),
            };
            told::of(&set, &verdict, &near)
        }
    };
    Ok(told::print(&told, results)?)
}

impl ExplainOptions {
    /// True if the service decides about what it knows: nothing is assumed.
    fn is_for_service(&self, client: &ClientOptions) -> Result<bool, BoxError> {
        let is_about_caller = !self.claims.is_empty();
        let is_about_image = !self.facts.is_empty() || !self.tags.is_empty();
        let assumes = self.case.is_some() || self.time.is_some() || is_about_caller || is_about_image;
        Ok(!assumes && self.set.directory.is_none() && !self.set.is_local(client)?)
    }

    fn key(&self, client: &ClientOptions) -> Result<PermissionKey, BoxError> {
        let (Some(share), Some(recipient)) = (&self.share, self.with) else {
            return Err("the request needs SHARE and --with".into());
        };
        let path = match share {
            ImageArg::Whole(path) => path.clone(),
            ImageArg::Short(image) => {
                let (account, region) = client.default_place()?;
                ImagePath {
                    account,
                    region,
                    image: image.clone(),
                }
            }
        };
        let key = path.shared_with(recipient);
        Ok(key.map_err(|rule| format!("the request {rule}"))?)
    }

    fn justification(&self) -> Justification {
        Justification::new(self.reason.clone(), self.ticket.clone())
    }

    fn service_request(&self, client: &ClientOptions) -> Result<PolicyRequest, BoxError> {
        Ok(PolicyRequest {
            action: self.action.action(),
            cause: self.action.cause(),
            key: self.key(client)?,
            justification: self.justification(),
            expire_time: self.until,
            principal: self.asking.clone(),
            credentials: self.credentials.iter().map(|kind| kind.0).collect(),
        })
    }

    fn request(self, client: &ClientOptions) -> Result<RequestCase, BoxError> {
        if let (Some(name), Some(file)) = (&self.case, &self.file) {
            let case = cases::read(file)?.into_iter().find(|case| case.name == *name);
            let case = case.ok_or_else(|| format!("{} has no case {name:?}", file.display()))?;
            return Ok(case.request);
        }
        let key = self.key(client)?;
        let justification = self.justification();
        let principal = self.asking.ok_or("the request needs --as, the principal that asks")?;
        let credentials: Vec<_> = self.credentials.iter().map(|kind| kind.0).collect();
        let tags = (!self.tags.is_empty()).then(|| self.tags.into_iter().flatten().collect());
        Ok(RequestCase {
            principal,
            credentials: (!credentials.is_empty()).then_some(credentials),
            claims: claims(self.claims),
            action: self.action,
            key,
            justification,
            expire_time: self.until,
            time: self.time.unwrap_or_else(|| Clock::system().now()),
            facts: cases::facts_of(image(self.facts.into_iter().collect())?, tags),
        })
    }
}

/// The claims, if any are given.
fn claims(given: Vec<(ClaimName, String)>) -> Option<Claims> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in given {
        let of_name = values.entry(name.as_str().to_owned()).or_default();
        of_name.extend((!value.is_empty()).then_some(value));
    }
    let claims = values.into_iter().map(|(name, values)| (name, Claim::of(values)));
    (claims.len() > 0).then(|| Claims::all(claims))
}

fn claim(text: &str) -> Result<(ClaimName, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    let name = name.parse().map_err(|error: Invalid| error.to_string())?;
    Ok((name, value.to_owned()))
}

/// What AWS reports, if anything is given. What is left out then is not known.
fn image(mut facts: BTreeMap<String, String>) -> Result<Option<ImageAttributes>, String> {
    if facts.is_empty() {
        return Ok(None);
    }
    let mut take = |name: &str| facts.remove(name).unwrap_or_default();
    let created = take("created");
    let attributes = ImageAttributes {
        created_at: match created.is_empty() {
            true => None,
            false => Some(time(&created)?),
        },
        name: take("name"),
        operating_system: take("operatingSystem"),
        required_tenancy: take("tenancy"),
        state: take("state"),
    };
    Ok(Some(attributes))
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| format!("{text:?} is not a time such as 2026-11-30T10:00:00+01:00"))
}

fn fact(text: &str) -> Result<(String, String), String> {
    const NAMES: [&str; 5] = ["state", "operatingSystem", "tenancy", "created", "name"];
    match text.split_once('=') {
        Some((name, value)) if NAMES.contains(&name) => Ok((name.into(), value.into())),
        _ => Err(format!(
            "must be NAME=VALUE, with one of the names {}",
            NAMES.join(", ")
        )),
    }
}

fn tag(text: &str) -> Result<Option<(String, String)>, String> {
    match text.split_once('=') {
        Some((key, value)) => Ok(Some((key.into(), value.into()))),
        None if text.is_empty() => Ok(None),
        None => Err("must be KEY=VALUE, or empty".into()),
    }
}
